import * as Effect from "effect/Effect"
import type { Owned } from "../Handle.ts"
import { AlreadyPreserved, type LiveUpdateError, ManagedUntilFinish } from "../LiveUpdateError.ts"
import type { OutgoingSession } from "../Session.ts"
import type { Token } from "../Token.ts"
import * as AtOnce from "./atOnce.ts"
import * as Device from "./device.ts"
import { fromErrno } from "./errnoTable.ts"
import type { IncomingSessions } from "./IncomingSessions.ts"
import * as ioctl from "./ioctl.ts"
import { Kernel, type SystemCalls } from "./Kernel.ts"
import * as Memfd from "./memfd.ts"
import type { Entry, PreservedFiles } from "./PreservedFiles.ts"
import { span } from "./span.ts"

interface Subject {
  readonly session: string
  readonly token: bigint
  readonly kind: string
}

/** `errno` is what a kernel with the guard says. */
const held = (subject: Subject, { direction, holder }: Entry): LiveUpdateError => {
  const fields = { ...subject, operation: "session.preserve", errno: "EBUSY", holder } as const
  return direction === "incoming" ? new ManagedUntilFinish(fields) : new AlreadyPreserved(fields)
}

/**
 * Whether the kernel would notice that a file is preserved twice. GET_NAME came with 7.2, the guard with 7.1: a kernel that has
 * the one has the other. On 7.1 the SDK looks once more than it has to.
 */
const hasGuard = (kernel: SystemCalls, fd: number): boolean =>
  kernel.ioctl(fd, ioctl.GET_NAME, ioctl.getNameArgument()) >= 0

/** Gives everything back. */
export const close = (
  name: string,
  fd: number,
  work: AtOnce.Work,
  files: PreservedFiles,
  kernel: SystemCalls
): Effect.Effect<void> =>
  Effect.map(
    AtOnce.forAll(
      work,
      () => kernel.close(fd),
      () => kernel.closeAsync(fd)
    ),
    () => {
      if (work.bytes > 0) files.forget(kernel, name, "outgoing")
    }
  )

/** The kernel's refusal, or what is found to be its reason. */
const refused = (
  subject: Subject,
  file: Owned,
  answer: number,
  managed: Effect.Effect<Entry | undefined>
): Effect.Effect<never, LiveUpdateError> => {
  const error = fromErrno("session.preserve", answer, subject)
  // Held by nobody that this process knows: a session that it took over from another may.
  if (error._tag === "AlreadyPreserved")
    return Effect.flatMap(managed, (entry) => Effect.fail(entry === undefined ? error : held(subject, entry)))
  const check =
    file.kind === "memfd" && (error._tag === "NoHandler" || error._tag === "PreserveRefused")
      ? Memfd.check(subject, file.fd, error.errno)
      : Effect.void
  return Effect.zipRight(check, Effect.fail(error))
}

export const make = (
  name: string,
  fd: number,
  work: AtOnce.Work,
  files: PreservedFiles,
  incoming: IncomingSessions
): OutgoingSession => {
  // Few effects, as each of them costs a good part of what the kernel does for a small file.
  const preserve = (file: Owned, token: Token, fileName?: string): Effect.Effect<void, LiveUpdateError> =>
    Effect.flatMap(Kernel, (kernel) => {
      const holder = { session: name, token, ...(fileName === undefined ? {} : { file: fileName }) }
      const subject = { ...holder, kind: file.kind }
      const status = kernel.status(file.fd)
      if (typeof status === "number") return Effect.fail(fromErrno("session.preserve", status, subject))
      const known = files.find(kernel, file, status)
      if (known !== undefined) return Effect.fail(held(subject, known))
      const managed = Effect.suspend(() =>
        Effect.map(incoming.learn(file, status), () => files.find(kernel, file, status))
      )

      const ask = (): Effect.Effect<void, LiveUpdateError> => {
        const argument = ioctl.fileArgument(file.fd, token)
        const settle = (answer: number): number => {
          if (answer < 0) files.remove(kernel, file, status)
          return answer
        }
        // Entered before the kernel is asked: another fiber may be at the same file, and not every kernel would notice.
        const entered = files.add(kernel, file, status, { direction: "outgoing", holder })
        if (entered < 0) return Effect.fail(fromErrno("session.preserve", entered, subject))
        return AtOnce.forFile(
          work,
          file.kind === "memfd" ? status.size : undefined,
          () => settle(kernel.ioctl(fd, ioctl.PRESERVE_FD, argument)),
          () => kernel.ioctlAsync(fd, ioctl.PRESERVE_FD, argument).then(settle),
          (answer) => (answer < 0 ? refused(subject, file, answer, managed) : Effect.void)
        )
      }
      const askUnlessSealed = () =>
        file.kind === "memfd" && Memfd.mayBeExecSealed(status)
          ? Effect.flatMap(Memfd.refuseExecSealed(subject, file.fd), ask)
          : ask()

      if (incoming.isEmpty() || hasGuard(kernel, fd)) return askUnlessSealed()
      return Effect.flatMap(managed, (entry) =>
        entry === undefined ? askUnlessSealed() : Effect.fail(held(subject, entry))
      )
    })

  return {
    direction: "outgoing",
    name,
    fd,
    askName: Device.sessionName(fd, name),
    preserve: (file, token, fileName) => span("Session.preserve")(preserve(file, token, fileName))
  }
}
