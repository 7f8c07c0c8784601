/**
 * `/dev/liveupdate`: creates sessions before the jump and retrieves them after it.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Custody from "./Custody.ts"
import type { Managed, Retrievable } from "./Handle.ts"
import * as Fd from "./internal/fd.ts"
import * as ioctl from "./internal/ioctl.ts"
import * as libc from "./internal/libc.ts"
import { AlreadyPreserved, InvalidSessionName, type LiveUpdateError } from "./LiveUpdateError.ts"
import * as Memfd from "./Memfd.ts"
import type { IncomingSession, OutgoingSession } from "./Session.ts"
import type { Token } from "./Token.ts"

/**
 * @since 0.1.0
 * @category constants
 */
export const device = "/dev/liveupdate"

/**
 * @since 0.1.0
 * @category services
 */
export class LiveUpdate extends Context.Tag("@liveupdate/sdk/LiveUpdate")<
  LiveUpdate,
  {
    /**
     * A new outgoing session; leaving the scope closes it and rolls everything back. Fails with `SessionExists`,
     * `InvalidSessionName`, and what opening the device fails with: `DeviceBusy`, `DeviceMissing`, `HandoverUnreadable`,
     * `PermissionDenied`.
     */
    readonly create: (name: string) => Effect.Effect<OutgoingSession, LiveUpdateError, Scope.Scope>
    /**
     * A session that the previous kernel handed over, from the kernel or from whoever holds it parked. Fails with
     * `SessionNotFound`, `SessionAlreadyRetrieved` (and nobody known holds it), and what opening the device fails with.
     */
    readonly retrieve: (name: string) => Effect.Effect<IncomingSession, LiveUpdateError, Scope.Scope>
    /**
     * Opens the device for a moment, to learn before anything is touched whether it could be used now. Fails with
     * `DeviceMissing`, `DeviceBusy`, `HandoverUnreadable`, `PermissionDenied`.
     */
    readonly probe: Effect.Effect<void, LiveUpdateError>
  }
>() {}

/**
 * @since 0.1.0
 * @category operations
 */
export const create = (name: string) => Effect.flatMap(LiveUpdate, (_) => _.create(name))

/**
 * @since 0.1.0
 * @category operations
 */
export const retrieve = (name: string) => Effect.flatMap(LiveUpdate, (_) => _.retrieve(name))

/**
 * @since 0.1.0
 * @category operations
 */
export const probe = Effect.flatMap(LiveUpdate, (_) => _.probe)

/**
 * Open only for one request: the kernel admits a single opener, and systemd wants it at boot and at shutdown. Sessions
 * live on without it.
 */
const withDevice = <A>(use: (fd: number) => Effect.Effect<A, LiveUpdateError>): Effect.Effect<A, LiveUpdateError> =>
  Effect.scoped(Effect.flatMap(Fd.openFile(device, libc.O_RDWR, "device.open"), use))

const requestSession = (operation: "session.create" | "session.retrieve", name: string) => {
  const bytes = Buffer.byteLength(name, "utf8")
  if (bytes === 0 || bytes >= ioctl.SESSION_NAME_LENGTH || name.includes("\0"))
    return Effect.fail(new InvalidSessionName({ operation, errno: "EINVAL", session: name }))
  const request = operation === "session.create" ? ioctl.CREATE_SESSION : ioctl.RETRIEVE_SESSION
  return withDevice((fd) => {
    const argument = ioctl.sessionArgument(name)
    return Effect.as(
      Fd.call(operation, { session: name }, () => libc.ioctl(fd, request, argument)),
      argument
    )
  }).pipe(Effect.map(ioctl.returnedFd))
}

/** Which session of this process holds a file, by device and inode: what the kernel knows, but doesn't tell with EBUSY. */
type Holders = Map<string, { readonly session: string; readonly token: bigint }>

const identity = (fd: number): string => {
  const { dev, ino } = Fs.fstatSync(fd)
  return `${dev}:${ino}`
}

const makeOutgoing = (name: string, fd: number, holders: Holders): OutgoingSession => ({
  direction: "outgoing",
  name,
  preserve: Effect.fn("Session.preserve")(function* (file, token: Token) {
    const subject = { session: name, token, kind: file.kind }
    const argument = ioctl.fileArgument(file.fd, token)
    if (file.kind === "memfd") yield* Memfd.check(file)
    yield* Fd.callAsync("session.preserve", subject, () => libc.ioctlAsync(fd, ioctl.PRESERVE_FD, argument)).pipe(
      Effect.mapError((error) => {
        const holder = error._tag === "AlreadyPreserved" ? holders.get(identity(file.fd)) : undefined
        return holder === undefined
          ? error
          : new AlreadyPreserved({ ...subject, operation: error.operation, errno: error.errno, holder })
      })
    )
    yield* Effect.sync(() => holders.set(identity(file.fd), { session: name, token }))
  })
})

interface IncomingState {
  finished: boolean
}

const makeIncoming = (name: string, fd: number, state: IncomingState): IncomingSession => ({
  direction: "incoming",
  name,
  retrieve: <H extends Managed>(kind: Retrievable<H>, token: Token) => {
    const argument = ioctl.fileArgument(-1, token)
    return Fd.scoped(
      Effect.map(
        Fd.callAsync("session.retrieveFile", { session: name, token, kind: kind.kind }, () =>
          libc.ioctlAsync(fd, ioctl.RETRIEVE_FD, argument)
        ),
        () => ioctl.returnedFd(argument)
      )
    ).pipe(Effect.map(kind.manage), Effect.withSpan("Session.retrieve"))
  },
  finish: Effect.suspend(() => {
    if (state.finished) return Effect.void
    const argument = ioctl.finishArgument()
    return Fd.callAsync("session.finish", { session: name }, () => libc.ioctlAsync(fd, ioctl.FINISH, argument)).pipe(
      Effect.zipRight(
        Effect.sync(() => {
          state.finished = true
        })
      )
    )
  }).pipe(Effect.uninterruptible, Effect.withSpan("Session.finish"))
})

/**
 * The running kernel.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<LiveUpdate, never, Custody.Custody> = Layer.effect(
  LiveUpdate,
  Effect.gen(function* () {
    const custody = yield* Custody.Custody
    const holders: Holders = new Map()

    const forget = (session: string) => {
      for (const [file, holder] of holders) if (holder.session === session) holders.delete(file)
    }

    /** From the kernel, or else from the holder that it was parked with. */
    const obtain = (name: string): Effect.Effect<number, LiveUpdateError> =>
      requestSession("session.retrieve", name).pipe(
        Effect.catchTag("SessionAlreadyRetrieved", (error) =>
          Effect.flatMap(custody.claim(name), (fd) => (fd === undefined ? Effect.fail(error) : Effect.succeed(fd)))
        )
      )

    return LiveUpdate.of({
      probe: withDevice(() => Effect.void),
      create: (name) =>
        Fd.scoped(requestSession("session.create", name), (fd) =>
          Effect.zipRight(
            Effect.promise(() => libc.closeAsync(fd)),
            Effect.sync(() => forget(name))
          )
        ).pipe(
          Effect.map((fd) => makeOutgoing(name, fd, holders)),
          Effect.withSpan("LiveUpdate.create")
        ),
      retrieve: (name) =>
        Effect.gen(function* () {
          const state: IncomingState = { finished: false }
          const fd = yield* Fd.scoped(obtain(name), (fd) =>
            // A session that could not be parked stays open: the process that holds it is its last holder.
            state.finished
              ? Effect.zipRight(Fd.close(fd), custody.release(name))
              : custody.park(name, fd).pipe(
                  Effect.flatMap((parked) =>
                    Effect.zipRight(Fd.close(fd), Effect.logWarning("session parked", parked))
                  ),
                  Effect.catchAll((error) => Effect.logFatal(error.message))
                )
          )
          return makeIncoming(name, fd, state)
        }).pipe(Effect.withSpan("LiveUpdate.retrieve"))
    })
  })
)
