import * as Effect from "effect/Effect"
import type { Owned } from "../Handle.ts"
import { AlreadyPreserved, type LiveUpdateError, ManagedUntilFinish } from "../LiveUpdateError.ts"
import type { OutgoingSession } from "../Session.ts"
import type { Token } from "../Token.ts"
import * as Device from "./device.ts"
import * as Fd from "./fd.ts"
import type { IncomingSessions } from "./IncomingSessions.ts"
import * as ioctl from "./ioctl.ts"
import { Kernel, type SystemCalls } from "./Kernel.ts"
import * as Memfd from "./memfd.ts"
import type { Entry, PreservedFiles } from "./PreservedFiles.ts"

/** Up to this many bytes a preserve is done at once: handing it to another thread would take longer. */
const AT_ONCE = 1 << 20

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

export const make = (name: string, fd: number, files: PreservedFiles, incoming: IncomingSessions): OutgoingSession => ({
  direction: "outgoing",
  name,
  askName: Device.sessionName(fd, name),
  preserve: Effect.fn("Session.preserve")(function* (file: Owned, token: Token, fileName?: string) {
    const kernel = yield* Kernel
    const holder = { session: name, token, ...(fileName === undefined ? {} : { file: fileName }) }
    const subject = { ...holder, kind: file.kind }
    const status = yield* Fd.status("session.preserve", subject, file.fd)
    const known = files.find(kernel, file, status)
    if (known !== undefined) return yield* held(subject, known)
    if (!incoming.isEmpty() && !hasGuard(kernel, fd)) {
      yield* incoming.learn(file, status)
      const managed = files.find(kernel, file, status)
      if (managed !== undefined) return yield* held(subject, managed)
    }
    if (file.kind === "memfd") yield* Memfd.refuseExecSealed(subject, file.fd)
    const argument = ioctl.fileArgument(file.fd, token)
    const request =
      file.kind === "memfd" && status.size <= AT_ONCE
        ? Fd.call("session.preserve", subject, () => kernel.ioctl(fd, ioctl.PRESERVE_FD, argument))
        : Fd.callAsync("session.preserve", subject, () => kernel.ioctlAsync(fd, ioctl.PRESERVE_FD, argument))
    // Entered before the kernel is asked: another fiber may be at the same file, and not every kernel would notice.
    yield* Fd.call("session.preserve", subject, () =>
      files.add(kernel, file, status, { direction: "outgoing", holder })
    )
    yield* request.pipe(
      Effect.onError(() => Effect.sync(() => files.remove(kernel, file, status))),
      // Held by nobody that this process knows: a session that it took over from another may.
      Effect.catchTag("AlreadyPreserved", (error) =>
        Effect.zipRight(
          incoming.learn(file, status),
          Effect.suspend(() => {
            const managed = files.find(kernel, file, status)
            return Effect.fail(managed === undefined ? error : held(subject, managed))
          })
        )
      ),
      // The kernel's refusal, or what is found to be its reason.
      Effect.tapError((error) =>
        file.kind === "memfd" && (error._tag === "NoHandler" || error._tag === "PreserveRefused")
          ? Memfd.check(subject, file.fd, error.errno)
          : Effect.void
      )
    )
  })
})
