import * as Effect from "effect/Effect"
import type { Managed, Retrievable } from "../Handle.ts"
import { NotOfThisSession } from "../LiveUpdateError.ts"
import type { Finished, IncomingSession, RetrieveOptions } from "../Session.ts"
import type { Token } from "../Token.ts"
import * as Device from "./device.ts"
import { fromErrno } from "./errnoTable.ts"
import * as Fd from "./fd.ts"
import * as ioctl from "./ioctl.ts"
import { Kernel } from "./Kernel.ts"
import type { PreservedFiles } from "./PreservedFiles.ts"
import { retrieveFile, type State } from "./retrieveFile.ts"
import { span } from "./span.ts"

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
      return Effect.flatMap(retrieveFile({ fd, state }, subject, options?.bytes), (file) => {
        const handle = kind.manage({ fd: file, session: name, token })
        const status = kernel.status(file)
        if (typeof status === "number") return Effect.fail(fromErrno("session.retrieveFile", status, subject))
        files.enterManaged(kernel, handle, status, holder)
        return Effect.succeed(handle)
      })
    }).pipe(span("Session.retrieve")),
  finish: Effect.gen(function* () {
    if (state.finished) return finishedSession(name)
    const kernel = yield* Kernel
    yield* Fd.requestAsync("session.finish", { session: name }, fd, ioctl.liveupdate.finish, {})
    state.finished = true
    files.forget(kernel, name, "incoming")
    return finishedSession(name)
  }).pipe(Effect.uninterruptible, Effect.withSpan("Session.finish"))
})
