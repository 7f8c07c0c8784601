import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { LiveUpdateError, Operation, Subject } from "../LiveUpdateError.ts"
import { fromErrno } from "./errnoTable.ts"
import * as libc from "./libc.ts"

/** A system call that answers a value or a negated errno. */
export const call = (
  operation: Operation,
  subject: Subject,
  run: () => number
): Effect.Effect<number, LiveUpdateError> =>
  Effect.suspend(() => {
    const answer = run()
    return answer < 0 ? Effect.fail(fromErrno(operation, answer, subject)) : Effect.succeed(answer)
  })

/** The same on libuv's pool. Not interruptible: the kernel goes on whether anybody waits or not. */
export const callAsync = (
  operation: Operation,
  subject: Subject,
  run: () => Promise<number>
): Effect.Effect<number, LiveUpdateError> =>
  Effect.uninterruptible(
    Effect.flatMap(Effect.promise(run), (answer) =>
      answer < 0 ? Effect.fail(fromErrno(operation, answer, subject)) : Effect.succeed(answer)
    )
  )

export const close = (fd: number): Effect.Effect<void> => Effect.sync(() => void libc.close(fd))

/** The only way in which a file descriptor comes into being: with its end. */
export const scoped = <E, R>(
  acquire: Effect.Effect<number, E, R>,
  release: (fd: number) => Effect.Effect<void> = close
): Effect.Effect<number, E, R | Scope.Scope> => Effect.acquireRelease(acquire, release)

/** A regular open with O_CLOEXEC. */
export const openFile = (path: string, flags: number, operation: Operation = "file.open") =>
  scoped(call(operation, { path }, () => libc.openFile(path, flags)))
