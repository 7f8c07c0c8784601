import * as Effect from "effect/Effect"
import { InvalidSessionName, type LiveUpdateError } from "../LiveUpdateError.ts"
import { fromErrno } from "./errnoTable.ts"
import * as Fd from "./fd.ts"
import * as ioctl from "./ioctl.ts"
import { Kernel, type SystemCalls } from "./Kernel.ts"
import { O_RDWR } from "./uapi.ts"

export const path = "/dev/liveupdate"

/**
 * Open only for one request: the kernel admits a single opener, and systemd wants it at boot and at shutdown. Sessions
 * live on without it. Opened, asked and closed in one breath: no other fiber of this process finds it busy.
 */
const request = (
  kernel: SystemCalls,
  run: (device: number) => LiveUpdateError | undefined
): LiveUpdateError | undefined => {
  const device = kernel.openFile(path, O_RDWR)
  if (device < 0) return fromErrno("device.open", device, { path })
  try {
    return run(device)
  } finally {
    kernel.close(device)
  }
}

/** Opens it for a moment. */
export const probe: Effect.Effect<void, LiveUpdateError> = Effect.flatMap(Kernel, (kernel) => {
  const error = request(kernel, () => undefined)
  return error === undefined ? Effect.void : Effect.fail(error)
})

/** A session's descriptor. `taken` is called with it, in one breath with the ioctl. */
export const requestSession = (
  operation: "session.create" | "session.retrieve",
  name: string,
  taken: (fd: number) => void = () => undefined
): Effect.Effect<number, LiveUpdateError> =>
  Effect.flatMap(Kernel, (kernel) => {
    const bytes = Buffer.byteLength(name, "utf8")
    if (bytes === 0 || bytes >= ioctl.SESSION_NAME_LENGTH || name.includes("\0"))
      return Effect.fail(new InvalidSessionName({ operation, errno: "EINVAL", session: name }))
    const argument = ioctl.sessionArgument(name)
    const number = operation === "session.create" ? ioctl.CREATE_SESSION : ioctl.RETRIEVE_SESSION
    const error = request(kernel, (device) => {
      const answer = kernel.ioctl(device, number, argument)
      if (answer < 0) return fromErrno(operation, answer, { session: name })
      taken(ioctl.returnedFd(argument))
      return undefined
    })
    return error === undefined ? Effect.succeed(ioctl.returnedFd(argument)) : Effect.fail(error)
  })

/**
 * The name of a session as the kernel has it. Before 7.2 the kernel can't be asked (EINVAL), and the name that it was made or
 * retrieved with has to do.
 */
export const sessionName = (fd: number, known: string): Effect.Effect<string, LiveUpdateError> =>
  Fd.request("session.name", { session: known }, fd, ioctl.liveupdate.getName, {}).pipe(
    Effect.map((answer) => answer.name),
    Effect.catchTag("Unsupported", () => Effect.succeed(known))
  )
