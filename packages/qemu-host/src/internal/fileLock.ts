/**
 * Locks between processes: flock(2), held by a child that reads a pipe of ours. The kernel lets go when the child ends, and
 * the child ends with us, however we end; so a lock is never stale.
 */
import * as Command from "@effect/platform/Command"
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

export class LockFailed extends Data.TaggedError("LockFailed")<{ readonly path: string; readonly detail: string }> {
  override get message() {
    return `cannot lock ${this.path}: ${this.detail}`
  }
}

const BUSY = 75

const attempt = (path: string, wait: boolean) =>
  Effect.gen(function* () {
    const child = yield* Command.start(
      Command.make(
        "flock",
        "--exclusive",
        ...(wait ? [] : ["--nonblock"]),
        "--conflict-exit-code",
        String(BUSY),
        path,
        "sh",
        "-c",
        "echo locked; exec cat >/dev/null"
      )
    )
    const first = yield* child.stdout.pipe(Stream.take(1), Stream.runHead)
    if (Option.isSome(first)) return true
    const code = yield* child.exitCode
    if (code === BUSY) return false
    return yield* new LockFailed({ path, detail: `flock ended with ${code}` })
  }).pipe(
    Effect.catchTags({
      BadArgument: (error) => new LockFailed({ path, detail: error.message }),
      SystemError: (error) => new LockFailed({ path, detail: error.message })
    })
  )

/** Takes the lock for the scope if it is free; says whether it did. */
export const tryLock = (
  path: string
): Effect.Effect<boolean, LockFailed, CommandExecutor.CommandExecutor | Scope.Scope> => attempt(path, false)

/** Takes the lock for the scope; runs `waiting` once if somebody else has it. */
export const lock = (
  path: string,
  waiting: Effect.Effect<void> = Effect.void
): Effect.Effect<void, LockFailed, CommandExecutor.CommandExecutor | Scope.Scope> =>
  tryLock(path).pipe(
    Effect.flatMap((got) => (got ? Effect.void : Effect.zipRight(waiting, Effect.asVoid(attempt(path, true)))))
  )
