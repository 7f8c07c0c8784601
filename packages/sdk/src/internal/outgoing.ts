import * as Effect from "effect/Effect"
import type { Owned } from "../Handle.ts"
import { AlreadyPreserved, type LiveUpdateError, ManagedUntilFinish } from "../LiveUpdateError.ts"
import type { OutgoingSession } from "../Session.ts"
import type { Token } from "../Token.ts"
import * as Device from "./device.ts"
import * as Fd from "./fd.ts"
import * as ioctl from "./ioctl.ts"
import { Kernel } from "./Kernel.ts"
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

export const make = (name: string, fd: number, files: PreservedFiles): OutgoingSession => ({
  direction: "outgoing",
  name,
  askName: Device.sessionName(fd, name),
  preserve: Effect.fn("Session.preserve")(function* (file: Owned, token: Token) {
    const kernel = yield* Kernel
    const subject = { session: name, token, kind: file.kind }
    const status = yield* Fd.status("session.preserve", subject, file.fd)
    const holder = files.find(kernel, file, status)
    if (holder !== undefined) return yield* held(subject, holder)
    if (file.kind === "memfd") yield* Memfd.refuseExecSealed(subject, file.fd)
    const argument = ioctl.fileArgument(file.fd, token)
    const request =
      file.kind === "memfd" && status.size <= AT_ONCE
        ? Fd.call("session.preserve", subject, () => kernel.ioctl(fd, ioctl.PRESERVE_FD, argument))
        : Fd.callAsync("session.preserve", subject, () => kernel.ioctlAsync(fd, ioctl.PRESERVE_FD, argument))
    // Entered before the kernel is asked: another fiber may be at the same file, and not every kernel would notice.
    yield* Fd.call("session.preserve", subject, () =>
      files.add(kernel, file, status, { direction: "outgoing", holder: { session: name, token } })
    )
    yield* request.pipe(
      Effect.onError(() => Effect.sync(() => files.remove(kernel, file, status))),
      // The kernel's refusal, or what is found to be its reason.
      Effect.tapError((error) =>
        file.kind === "memfd" && (error._tag === "NoHandler" || error._tag === "PreserveRefused")
          ? Memfd.check(subject, file.fd, error.errno)
          : Effect.void
      )
    )
  })
})
