import * as Effect from "effect/Effect"
import { InvalidSessionName, type LiveUpdateError } from "../LiveUpdateError.ts"
import * as Fd from "./fd.ts"
import * as ioctl from "./ioctl.ts"
import { O_RDWR } from "./Kernel.ts"

export const path = "/dev/liveupdate"

/** Fibers of this process wait for one another instead of finding the device busy. */
const oneOpener = Effect.unsafeMakeSemaphore(1)

/**
 * Open only for one request: the kernel admits a single opener, and systemd wants it at boot and at shutdown. Sessions
 * live on without it.
 */
export const withDevice = <A>(
  use: (fd: number) => Effect.Effect<A, LiveUpdateError>
): Effect.Effect<A, LiveUpdateError> =>
  Effect.scoped(Effect.flatMap(Fd.openFile(path, O_RDWR, "device.open"), use)).pipe(oneOpener.withPermits(1))

/** `taken` is called with the new descriptor, in one breath with the ioctl. */
export const requestSession = (
  operation: "session.create" | "session.retrieve",
  name: string,
  taken: (fd: number) => void = () => undefined
) => {
  const bytes = Buffer.byteLength(name, "utf8")
  if (bytes === 0 || bytes >= ioctl.SESSION_NAME_LENGTH || name.includes("\0"))
    return Effect.fail(new InvalidSessionName({ operation, errno: "EINVAL", session: name }))
  const request = operation === "session.create" ? ioctl.CREATE_SESSION : ioctl.RETRIEVE_SESSION
  return withDevice((device) => {
    const argument = ioctl.sessionArgument(name)
    return Effect.as(
      Fd.call(operation, { session: name }, (kernel) => {
        const answer = kernel.ioctl(device, request, argument)
        if (answer >= 0) taken(ioctl.returnedFd(argument))
        return answer
      }),
      argument
    )
  }).pipe(Effect.map(ioctl.returnedFd))
}

/**
 * The name of a session as the kernel has it. Before 7.2 the kernel can't be asked (EINVAL), and the name that it was made or
 * retrieved with has to do.
 */
export const sessionName = (fd: number, known: string): Effect.Effect<string, LiveUpdateError> =>
  Fd.request("session.name", { session: known }, fd, ioctl.liveupdate.getName, {}).pipe(
    Effect.map((answer) => answer.name),
    Effect.catchTag("Unsupported", () => Effect.succeed(known))
  )
