import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { LiveUpdateError, Operation, Subject } from "../LiveUpdateError.ts"
import { fromErrno } from "./errnoTable.ts"
import type { Request } from "./ioctl.ts"
import { type FileStatus, Kernel, type SystemCalls } from "./Kernel.ts"
import type { Fields, Given, Values } from "./struct.ts"

/** A system call that answers a value or a negated errno. */
export const call = (
  operation: Operation,
  subject: Subject,
  run: (kernel: SystemCalls) => number
): Effect.Effect<number, LiveUpdateError> =>
  Effect.flatMap(Kernel, (kernel) => {
    const answer = run(kernel)
    return answer < 0 ? Effect.fail(fromErrno(operation, answer, subject)) : Effect.succeed(answer)
  })

/** The same on libuv's pool. Not interruptible: the kernel goes on whether anybody waits or not. */
export const callAsync = (
  operation: Operation,
  subject: Subject,
  run: (kernel: SystemCalls) => Promise<number>
): Effect.Effect<number, LiveUpdateError> =>
  Kernel.pipe(
    Effect.flatMap((kernel) => Effect.promise(() => run(kernel))),
    Effect.flatMap((answer) =>
      answer < 0 ? Effect.fail(fromErrno(operation, answer, subject)) : Effect.succeed(answer)
    ),
    Effect.uninterruptible
  )

/** A call that answers something else than a number when it succeeds. */
export const ask = <A>(
  operation: Operation,
  subject: Subject,
  run: (kernel: SystemCalls) => A | number
): Effect.Effect<A, LiveUpdateError> =>
  Effect.flatMap(Kernel, (kernel) => {
    const answer = run(kernel)
    return typeof answer === "number" ? Effect.fail(fromErrno(operation, answer, subject)) : Effect.succeed(answer)
  })

const withArgument = <F extends Fields>(
  request: Request<F>,
  given: Given<F>,
  send: (argument: Buffer) => Effect.Effect<number, LiveUpdateError>
): Effect.Effect<Values<F>, LiveUpdateError> =>
  Effect.suspend(() => {
    const argument = request.encode(given)
    return Effect.map(send(argument), () => request.decode(argument))
  })

/** An ioctl with a struct: what the kernel made of it. */
export const request = <F extends Fields>(
  operation: Operation,
  subject: Subject,
  fd: number,
  request: Request<F>,
  given: Given<F>
): Effect.Effect<Values<F>, LiveUpdateError> =>
  withArgument(request, given, (argument) =>
    call(operation, subject, (kernel) => kernel.ioctl(fd, request.number, argument))
  )

/** The same on libuv's pool, for requests whose cost grows with the memory that they are about. */
export const requestAsync = <F extends Fields>(
  operation: Operation,
  subject: Subject,
  fd: number,
  request: Request<F>,
  given: Given<F>
): Effect.Effect<Values<F>, LiveUpdateError> =>
  withArgument(request, given, (argument) =>
    callAsync(operation, subject, (kernel) => kernel.ioctlAsync(fd, request.number, argument))
  )

/** What the file behind a descriptor is called: its path, or `anon_inode:kvm-vm` and the like. */
export const linkOf = (subject: Subject, fd: number): Effect.Effect<string, LiveUpdateError> =>
  ask<string>("file.inspect", subject, (kernel) => kernel.readLink(`/proc/self/fd/${fd}`))

/** Size, links and identity of an open file. */
export const status = (
  operation: Operation,
  subject: Subject,
  fd: number
): Effect.Effect<FileStatus, LiveUpdateError> => ask<FileStatus>(operation, subject, (kernel) => kernel.status(fd))

export const close = (fd: number): Effect.Effect<void> => Effect.map(Kernel, (kernel) => void kernel.close(fd))

/** The end of an open descriptor that a scope waits for. A number alone is no identity: it is reused as soon as it is closed. */
interface Ending {
  closed: boolean
}

const endings = new Map<number, Ending>()

/** `release` is called when it is time, and says what is left to do. */
const end = (fd: number, ending: Ending, release: () => Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (ending.closed) return Effect.void
    ending.closed = true
    if (endings.get(fd) === ending) endings.delete(fd)
    return release()
  })

type Release = (fd: number, kernel: SystemCalls) => Effect.Effect<void>

const closeAtOnce: Release = (fd, kernel) => {
  kernel.close(fd)
  return Effect.void
}

/**
 * The only way in which a file descriptor comes into being: with its end, which gets the kernel that it was opened on.
 *
 * `Effect.acquireRelease` would run the end with all of the beginning's fiber references, and costs more than most system calls.
 */
export const scoped = <E, R>(
  acquire: Effect.Effect<number, E, R>,
  release: Release = closeAtOnce
): Effect.Effect<number, E, R | Scope.Scope> =>
  Effect.uninterruptible(
    Effect.contextWithEffect((context: Context.Context<R | Scope.Scope>) =>
      Effect.flatMap(acquire, (fd) => {
        const ending: Ending = { closed: false }
        endings.set(fd, ending)
        const kernel = Context.get(context, Kernel)
        const finalizer = end(fd, ending, () => release(fd, kernel))
        return Effect.as(Scope.addFinalizer(Context.get(context, Scope.Scope), finalizer), fd)
      })
    )
  )

/** Closes a descriptor of `scoped` before its scope does, which then leaves it alone. */
export const closeEarly = (fd: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const ending = endings.get(fd)
    return ending === undefined ? Effect.void : end(fd, ending, () => close(fd))
  })

/** A regular open with O_CLOEXEC. */
export const openFile = (path: string, flags: number, operation: Operation = "file.open") =>
  scoped(call(operation, { path }, (kernel) => kernel.openFile(path, flags)))

/** A duplicate of a descriptor that another process holds (pidfd_getfd(2), needs ptrace rights over it). */
export const adopt = (operation: Operation, subject: Subject, from: { readonly pid: number; readonly fd: number }) =>
  scoped(
    Effect.scoped(
      Effect.gen(function* () {
        const where = { ...subject, path: `/proc/${from.pid}/fd/${from.fd}` }
        const pidfd = yield* scoped(call(operation, where, (kernel) => kernel.pidfdOpen(from.pid)))
        return yield* call(operation, where, (kernel) => kernel.pidfdGetfd(pidfd, from.fd))
      })
    )
  )
