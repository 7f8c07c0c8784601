/**
 * Programs of the operator's, run to their end within a deadline: what only the operator knows (networks, storage, whether a guest is well).
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * @since 0.1.0
 * @category errors
 */
export class ExecutableFailed extends Data.TaggedError("ExecutableFailed")<{
  readonly file: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file} ${this.reason}`
  }
}

const lastLine = (text: string): string => text.split("\n").findLast((line) => line.trim() !== "") ?? ""

const ended = (error: Error & { code?: unknown; signal?: unknown }, said: string): string => {
  const how =
    typeof error.code === "number"
      ? `ended with exit code ${error.code}`
      : typeof error.code === "string"
        ? `can't be run: ${error.code}`
        : `was ended by ${String(error.signal)}`
  return said === "" ? how : `${how}: ${said}`
}

/**
 * Runs it; its environment is `PATH` and `environment`. Fails with `ExecutableFailed` when its exit code isn't 0, with the last line that it
 * wrote to stderr, and when it isn't done by the deadline; it is ended (SIGKILL) then, and when the caller is interrupted.
 *
 * @since 0.1.0
 * @category operations
 */
export const run = (
  [file = "", ...args]: ReadonlyArray<string>,
  options: { readonly environment: Readonly<Record<string, string>>; readonly deadline: Duration.Duration }
): Effect.Effect<void, ExecutableFailed> =>
  Effect.async<void, ExecutableFailed>((resume) => {
    const environment = { PATH: process.env["PATH"] ?? "", ...options.environment }
    const child = execFile(file, args, { env: environment, killSignal: "SIGKILL" }, (error, _stdout, stderr) =>
      resume(
        error === null
          ? Effect.void
          : Effect.fail(new ExecutableFailed({ file, reason: ended(error, lastLine(stderr)) }))
      )
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(
    Effect.timeoutFail({
      duration: options.deadline,
      onTimeout: () =>
        new ExecutableFailed({ file, reason: `was not done within ${Duration.format(options.deadline)}` })
    }),
    Effect.withSpan("Executable.run")
  )
