import * as Effect from "effect/Effect"
import type { Managed, Retrievable } from "../Handle.ts"
import { NotOfThisSession } from "../LiveUpdateError.ts"
import type { Finished, IncomingSession, RetrieveOptions } from "../Session.ts"
import type { Token } from "../Token.ts"
import * as AtOnce from "./atOnce.ts"
import * as Device from "./device.ts"
import { fromErrno } from "./errnoTable.ts"
import * as Fd from "./fd.ts"
import * as ioctl from "./ioctl.ts"
import { Kernel } from "./Kernel.ts"
import type { PreservedFiles } from "./PreservedFiles.ts"
import { span } from "./span.ts"

export interface State {
  finished: boolean
  readonly work: AtOnce.Work
}

const finishedSession = (session: string): Finished => ({
  session,
  own: (handle) =>
    handle.session === session
      ? Effect.succeed({ kind: handle.kind, custody: "owned", fd: handle.fd })
      : Effect.fail(new NotOfThisSession({ operation: "session.finish", errno: "none", session, kind: handle.kind }))
})

export const make = (name: string, fd: number, state: State, files: PreservedFiles): IncomingSession => ({
  direction: "incoming",
  name,
  askName: Device.sessionName(fd, name),
  retrieve: <H extends Managed>(kind: Retrievable<H>, token: Token, options?: RetrieveOptions) =>
    Effect.flatMap(Kernel, (kernel) => {
      const holder = { session: name, token, ...(options?.name === undefined ? {} : { file: options.name }) }
      const subject = { ...holder, kind: kind.kind }
      const argument = ioctl.fileArgument(-1, token)
      return Effect.flatMap(
        Fd.scoped(
          Effect.suspend(() =>
            AtOnce.forFile(
              state.work,
              kind.kind === "memfd" ? options?.bytes : undefined,
              () => kernel.ioctl(fd, ioctl.RETRIEVE_FD, argument),
              () => kernel.ioctlAsync(fd, ioctl.RETRIEVE_FD, argument),
              (answer) =>
                answer < 0
                  ? Effect.fail(fromErrno("session.retrieveFile", answer, subject))
                  : Effect.succeed(ioctl.returnedFd(argument))
            )
          )
        ),
        (file) => {
          const handle = kind.manage({ fd: file, session: name, token })
          const status = kernel.status(file)
          if (typeof status === "number") return Effect.fail(fromErrno("session.retrieveFile", status, subject))
          if (files.find(kernel, handle, status) === undefined)
            files.add(kernel, handle, status, { direction: "incoming", holder })
          return Effect.succeed(handle)
        }
      )
    }).pipe(span("Session.retrieve")),
  finish: Effect.gen(function* () {
    if (state.finished) return finishedSession(name)
    const kernel = yield* Kernel
    const argument = ioctl.finishArgument()
    yield* Fd.callAsync("session.finish", { session: name }, () => kernel.ioctlAsync(fd, ioctl.FINISH, argument))
    state.finished = true
    files.forget(kernel, name, "incoming")
    return finishedSession(name)
  }).pipe(Effect.uninterruptible, Effect.withSpan("Session.finish"))
})
