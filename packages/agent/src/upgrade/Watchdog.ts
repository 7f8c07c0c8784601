/**
 * A process that outlives the agent: if the agent dies while guests stand still, it gives them back. It is started and has loaded
 * everything before the first guest is paused, and then waits for the end of a pipe whose other end only the agent holds; the kernel
 * closes that, however the agent ends.
 *
 * @since 0.1.0
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import type * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * @since 0.1.0
 * @category models
 */
export interface Command {
  readonly file: string
  readonly args: ReadonlyArray<string>
}

/**
 * Tells the program of the second half to be it.
 *
 * @since 0.1.0
 * @category constants
 */
export const WATCH = "--watch"

/**
 * Guests would stand still until somebody comes if the agent died, so none is paused.
 *
 * @since 0.1.0
 * @category errors
 */
export class WatchdogFailed extends Data.TaggedError("WatchdogFailed")<{ readonly reason: string }> {
  override get message(): string {
    return `The watchdog, who gives guests back if the agent dies, could not be started: ${this.reason}.`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Watchdog {
  readonly pid: number
  /** All guests run, or it is nobody's business any more: it ends. */
  readonly release: Effect.Effect<void>
}

/**
 * What it says when it has loaded everything, and what is said to it at a good end.
 *
 * @since 0.1.0
 * @category constants
 */
export const words = { ready: "ready", done: "done" } as const

/** Loading takes most of a second; a host may be emulated, and busy. */
const START_DEADLINE = Duration.seconds(30)

/**
 * Where it writes what it does: whoever has started the agent doesn't wait for it.
 *
 * @since 0.1.0
 * @category constants
 */
export const logPath = "/run/liveupdate/watchdog.log"

const launch = ({ file, args }: Command, vms: ReadonlyArray<string>, logFile: string) =>
  Effect.async<ChildProcess, WatchdogFailed>((resume) => {
    // In a session of its own: no signal of a terminal is for it.
    const log = Fs.openSync(logFile, "a", 0o600)
    const child = spawn(file, [...args], { detached: true, stdio: ["pipe", "pipe", log] })
    Fs.closeSync(log)
    const fail = (reason: string) => resume(Effect.fail(new WatchdogFailed({ reason })))
    child.once("error", (error) => fail(error.message))
    // What it has said comes first.
    child.once("close", (code, signal) => fail(`it ended with ${code ?? signal}`))
    // Whether it goes away is not the pipe's to tell.
    child.stdin?.on("error", () => undefined)
    child.stdin?.write(`${vms.join(" ")}\n`)
    child.stdout?.once("data", (data) => {
      child.removeAllListeners()
      child.stdout?.destroy()
      child.unref()
      resume(
        String(data).trim() === words.ready
          ? Effect.succeed(child)
          : Effect.fail(new WatchdogFailed({ reason: `it said ${String(data)}` }))
      )
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(
    Effect.timeoutFail({
      duration: START_DEADLINE,
      onTimeout: () => new WatchdogFailed({ reason: `it was not ready within ${Duration.format(START_DEADLINE)}` })
    })
  )

/**
 * Starts it for these VMs, by the first of the commands with which it comes so far as to wait. Leaving the scope without `release` is like
 * dying: it gives the guests back.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = (
  commands: Arr.NonEmptyReadonlyArray<Command>,
  vms: ReadonlyArray<string>,
  logFile: string = logPath
): Effect.Effect<Watchdog, WatchdogFailed, Scope.Scope> =>
  Effect.acquireRelease(Effect.firstSuccessOf(commands.map((command) => launch(command, vms, logFile))), (child) =>
    Effect.sync(() => child.stdin?.destroy())
  ).pipe(
    Effect.map((child) => ({
      pid: child.pid ?? 0,
      release: Effect.async<void>((resume) => {
        child.stdin?.end(words.done, () => resume(Effect.void))
      })
    })),
    Effect.withSpan("Watchdog.start")
  )
