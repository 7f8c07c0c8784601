import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { LiveUpdateError } from "../LiveUpdateError.ts"
import * as AtOnce from "./atOnce.ts"
import { fromErrno } from "./errnoTable.ts"
import * as Fd from "./fd.ts"
import * as ioctl from "./ioctl.ts"
import { Kernel } from "./Kernel.ts"

/** What is known of an incoming session while it is held. */
export interface State {
  finished: boolean
  readonly work: AtOnce.Work
}

/**
 * The file at a token of an incoming session, closed with the scope; asked for again it is another descriptor of the same file.
 * `bytes`: its size where it is known, which decides on what thread it is waited for.
 */
export const retrieveFile = (
  session: { readonly fd: number; readonly state: State },
  subject: { readonly session: string; readonly token: bigint; readonly kind: string; readonly file?: string },
  bytes?: number
): Effect.Effect<number, LiveUpdateError, Scope.Scope> =>
  Effect.flatMap(Kernel, (kernel) => {
    const argument = ioctl.fileArgument(-1, subject.token)
    return Fd.scoped(
      Effect.suspend(() =>
        AtOnce.forFile(
          session.state.work,
          subject.kind === "memfd" ? bytes : undefined,
          () => kernel.ioctl(session.fd, ioctl.RETRIEVE_FD, argument),
          () => kernel.ioctlAsync(session.fd, ioctl.RETRIEVE_FD, argument),
          (answer) =>
            answer < 0
              ? Effect.fail(fromErrno("session.retrieveFile", answer, subject))
              : Effect.succeed(ioctl.returnedFd(argument))
        )
      )
    )
  })
