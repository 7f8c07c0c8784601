/** Other programs: run to the end, with their last words in the error, and never outliving us. */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"

/** A program that could not be started, or said no. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{
  readonly command: string
  readonly exitCode: number | undefined
  readonly reason: "missing" | "not-started" | "failed"
  /** The end of what it wrote to standard error, or the reason why it could not be started. */
  readonly detail: string
}> {
  override get message() {
    if (this.reason === "missing")
      return `${this.command.split(" ")[0]} is not installed. What hosts are built with is installed by: npm run setup -- --host`
    const how = this.exitCode === undefined ? "could not be run" : `ended with ${this.exitCode}`
    return `${this.command} ${how}: ${this.detail === "" ? "it said nothing" : this.detail}`
  }
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Record<string, string>
  /** Called for every line of standard output and, if `both`, of standard error. */
  readonly onLine?: (line: string) => Effect.Effect<void>
  readonly both?: boolean
  readonly stdin?: string
  /** Exit codes that are an answer and no failure. */
  readonly accept?: ReadonlyArray<number>
}

export interface RunResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

const TAIL = 2000

/**
 * Runs a program to its end. It is killed with its process group when the scope is left, and by the kernel when this process
 * dies without a chance to do so (setpriv --pdeathsig), so that no build goes on unowned.
 */
export const run = (
  argv: readonly [string, ...Array<string>],
  options: RunOptions = {}
): Effect.Effect<RunResult, CommandFailed, CommandExecutor.CommandExecutor> =>
  Effect.scoped(
    Effect.gen(function* () {
      let command = Command.make("setpriv", "--pdeathsig", "TERM", ...argv)
      if (options.cwd !== undefined) command = Command.workingDirectory(command, options.cwd)
      if (options.env !== undefined) command = Command.env(command, options.env)
      if (options.stdin !== undefined) command = Command.feed(command, options.stdin)
      const child = yield* Command.start(command)
      const gather = (stream: typeof child.stdout, onLine: RunOptions["onLine"]) =>
        Effect.gen(function* () {
          const text = yield* Ref.make("")
          yield* stream.pipe(
            Stream.decodeText(),
            onLine === undefined
              ? Stream.tap((part) => Ref.update(text, (before) => before + part))
              : (parts) =>
                  parts.pipe(
                    Stream.splitLines,
                    Stream.tap((line) => Ref.update(text, (before) => `${before}${line}\n`.slice(-TAIL))),
                    Stream.tap(onLine)
                  ),
            Stream.runDrain
          )
          return yield* Ref.get(text)
        })
      const [stdout, stderr, exitCode] = yield* Effect.all(
        [
          gather(child.stdout, options.onLine),
          gather(child.stderr, options.both === true ? options.onLine : undefined),
          child.exitCode
        ],
        { concurrency: "unbounded" }
      )
      if (exitCode !== 0 && !(options.accept ?? []).includes(exitCode))
        return yield* new CommandFailed({
          command: argv.join(" ").slice(0, 300),
          exitCode,
          // How setpriv says that there is no such program.
          reason: exitCode === 127 && stderr.includes("failed to execute") ? "missing" : "failed",
          detail: (stderr.trim() === "" ? stdout : stderr).trim().slice(-TAIL)
        })
      return { exitCode, stdout, stderr }
    })
  ).pipe(
    Effect.catchTags({
      BadArgument: (error) =>
        new CommandFailed({
          command: argv.join(" ").slice(0, 300),
          exitCode: undefined,
          reason: "not-started",
          detail: error.message
        }),
      SystemError: (error) =>
        new CommandFailed({
          command: argv.join(" ").slice(0, 300),
          exitCode: undefined,
          reason: "not-started",
          detail: error.message
        })
    })
  )

/** `run` with an executor of its own. */
export type Runner = (
  argv: readonly [string, ...Array<string>],
  options?: RunOptions
) => Effect.Effect<RunResult, CommandFailed>

/** With the executor of the layer that asks for it: what its services run needs none any more. */
export const runner: Effect.Effect<Runner, never, CommandExecutor.CommandExecutor> = Effect.map(
  CommandExecutor.CommandExecutor,
  (executor) => (argv, options) => Effect.provideService(run(argv, options), CommandExecutor.CommandExecutor, executor)
)

/** What compiles here, as a cache key names it: another compiler makes another result. */
export const compilerVersion = (command: Runner): Effect.Effect<string, CommandFailed> =>
  Effect.map(command(["gcc", "--version"]), ({ stdout }) => stdout.split("\n")[0] ?? "")

/** For `make -j` and the like: as many as there are processors. */
export const processors = (command: Runner): Effect.Effect<string, CommandFailed> =>
  Effect.map(command(["nproc"]), ({ stdout }) => stdout.trim())

/** Lines of a text that hold something. */
export const lines = (text: string): ReadonlyArray<string> => text.split("\n").filter((line) => line.trim() !== "")

export const concat = (parts: Chunk.Chunk<Uint8Array>): Uint8Array => Buffer.concat(Chunk.toReadonlyArray(parts))
