import * as Effect from "effect/Effect"
import type { Managed, Retrievable } from "../Handle.ts"
import { NotOfThisSession } from "../LiveUpdateError.ts"
import type { Finished, IncomingSession } from "../Session.ts"
import type { Token } from "../Token.ts"
import * as Device from "./device.ts"
import * as Fd from "./fd.ts"
import * as ioctl from "./ioctl.ts"
import { Kernel } from "./Kernel.ts"
import type { PreservedFiles } from "./PreservedFiles.ts"

export interface State {
  finished: boolean
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
  retrieve: <H extends Managed>(kind: Retrievable<H>, token: Token, fileName?: string) =>
    Effect.gen(function* () {
      const kernel = yield* Kernel
      const holder = { session: name, token, ...(fileName === undefined ? {} : { file: fileName }) }
      const subject = { ...holder, kind: kind.kind }
      const argument = ioctl.fileArgument(-1, token)
      const file = yield* Fd.scoped(
        Effect.map(
          Fd.callAsync("session.retrieveFile", subject, () => kernel.ioctlAsync(fd, ioctl.RETRIEVE_FD, argument)),
          () => ioctl.returnedFd(argument)
        )
      )
      const handle = kind.manage({ fd: file, session: name, token })
      const status = yield* Fd.status("session.retrieveFile", subject, file)
      if (files.find(kernel, handle, status) === undefined)
        files.add(kernel, handle, status, { direction: "incoming", holder })
      return handle
    }).pipe(Effect.withSpan("Session.retrieve")),
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
