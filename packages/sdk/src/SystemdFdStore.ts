/**
 * systemd holds the sessions of a service, in the service's file descriptor store (sd_pid_notify_with_fds(3)). They come back with the
 * service's next start, and only to it: a session that is to be taken up by another program belongs to a `Keeper`.
 *
 * The unit needs `FileDescriptorStoreMax=`, at least the number of sessions, and a `Restart=`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Custody, HoldFailed } from "./Custody.ts"
import * as errno from "./internal/errno.ts"
import * as FdName from "./internal/fdName.ts"
import * as HeldDescriptors from "./internal/HeldDescriptors.ts"
import { systemCalls } from "./internal/libc.ts"
import * as Notification from "./internal/notification.ts"
import * as SdNotify from "./SdNotify.ts"

/** SD_LISTEN_FDS_START of sd_listen_fds(3). */
const FIRST_DESCRIPTOR = 3

/**
 * Where systemd's socket is, and which descriptors it has passed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Where systemd's variables are; by default this process's environment. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** The first descriptor that systemd has passed; 3, unless something stands between systemd and this process. */
  readonly firstDescriptor?: number
  /** What systemd has passed to this process's parent is this process's too: a script that stands between. */
  readonly ofParent?: boolean
}

/**
 * Whether systemd has started this process with a file descriptor store: `NOTIFY_SOCKET` and `FDSTORE` say so (systemd 254 and later).
 *
 * @since 0.1.0
 * @category accessors
 */
export const isAvailable = (options: Options = {}): boolean => {
  const environment = options.environment ?? process.env
  return (environment["NOTIFY_SOCKET"] ?? "") !== "" && Number(environment["FDSTORE"] ?? 0) > 0
}

/** What the service had stored before it was started again: sessions only, by name. */
const passedSessions = (options: Options): Map<string, number> => {
  const environment = options.environment ?? process.env
  const first = options.firstDescriptor ?? FIRST_DESCRIPTOR
  const sessions = new Map<string, number>()
  const pid = Number(environment["LISTEN_PID"])
  if (pid !== process.pid && !(options.ofParent === true && pid === process.ppid)) return sessions
  const names = (environment["LISTEN_FDNAMES"] ?? "").split(":").slice(0, Number(environment["LISTEN_FDS"] ?? 0))
  names.forEach((name, index) => {
    const session = FdName.decode(name)
    if (session !== undefined && !sessions.has(session)) sessions.set(session, first + index)
  })
  return sessions
}

/**
 * Custody by systemd's file descriptor store, for a service with `FileDescriptorStoreMax=`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Custody> =>
  Layer.sync(Custody, () => {
    const environment = options.environment ?? process.env
    const path = environment["NOTIFY_SOCKET"] ?? ""
    const room = Number(environment["FDSTORE"] ?? 0)

    /** What systemd gives back comes only with the next start, so whoever wants it before gets it from here. */
    const held = HeldDescriptors.make(systemCalls, passedSessions(options))

    const failed = (session: string, reason: string) => new HoldFailed({ session, reason })

    const keepDuplicate = (session: string, fd: number): HoldFailed | undefined => {
      const answer = held.hold(session, fd)
      return answer < 0 ? failed(session, `its descriptor can't be duplicated: ${errno.errnoName(-answer)}`) : undefined
    }

    const socket = Effect.mapError(Notification.connect(path), (reason) => `NOTIFY_SOCKET ${reason}`)

    const prepare = (session: string) =>
      socket.pipe(
        Effect.mapError((reason) => failed(session, reason)),
        Effect.map((connected) => {
          let file: number | undefined
          let sent = 0
          return {
            hold: (fd: number) => {
              const failure = keepDuplicate(session, fd)
              if (failure !== undefined) return failure
              if (held.names().length > room) return failed(session, `FileDescriptorStoreMax=${room} is used up`)
              sent = Notification.sendNow(connected, Notification.linesOf(store(session)), fd)
              file = fd
              return sent >= 0 || sent === -errno.EAGAIN
                ? undefined
                : failed(session, `systemd can't be told: ${errno.errnoName(-sent)}`)
            },
            settled: Effect.suspend(() =>
              sent < 0 ? Notification.send(connected, Notification.linesOf(store(session)), file) : Effect.void
            ).pipe(
              Effect.zipRight(Notification.barrier(connected)),
              Effect.mapError((reason) => failed(session, reason))
            )
          }
        }),
        Effect.withSpan("SystemdFdStore.prepare")
      )

    return Custody.of({
      prepare,
      confirm: (session, fd) =>
        Effect.scoped(
          Effect.flatMap(prepare(session), ({ hold, settled }) => Effect.suspend(() => hold(fd) ?? settled))
        ).pipe(Effect.withSpan("SystemdFdStore.confirm")),
      claim: (session) => Effect.sync(() => held.claim(session)),
      release: (session) =>
        Effect.scoped(
          Effect.gen(function* () {
            held.release(session)
            yield* Notification.send(yield* socket, Notification.linesOf(forget(session)))
          })
        ).pipe(
          // A duplicate of a finished session is worth nothing, and no trouble.
          Effect.catchAll((reason) => Effect.logWarning(`systemd can't be told to release "${session}"`, reason)),
          Effect.withSpan("SystemdFdStore.release")
        ),
      list: Effect.sync(() => held.names().map((session) => ({ session, holder: "systemd" as const, pid: 1 })))
    })
  })

/**
 * systemd's store for a service that has one, something else for everybody else: `SystemdFdStore.layerOr(Keeper.layer())`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerOr = <E, R>(
  otherwise: Layer.Layer<Custody, E, R>,
  options: Options = {}
): Layer.Layer<Custody, E, R> => Layer.suspend(() => (isAvailable(options) ? layer(options) : otherwise))

/**
 * What the store takes of a session: a notification's fields, to be sent with its descriptor.
 *
 * An outgoing session that is stored goes through a `systemctl kexec` of systemd 261 and later, in a unit with
 * `FileDescriptorStorePreserve=yes`: systemd closes it last of all, retrieves it at boot, and passes it to the unit's next start.
 *
 * @since 0.1.0
 * @category notifications
 */
export const store = (session: string): SdNotify.Fields => ({
  FDSTORE: 1,
  FDNAME: FdName.encode(session),
  // It isn't polled: a session has nothing to say, and an error on it were no reason to let it go.
  FDPOLL: 0
})

/**
 * What makes the store forget a session.
 *
 * @since 0.1.0
 * @category notifications
 */
export const forget = (session: string): SdNotify.Fields => ({ FDSTOREREMOVE: 1, FDNAME: FdName.encode(session) })

/** Out of the environment, and out of the way of children, who would inherit both. */
const takePassed = (options: Options): Map<string, number> => {
  const sessions = new Map(
    [...passedSessions(options)].map(([session, inherited]) => {
      // Closed on exec, other than what systemd passes.
      const fd = systemCalls.dup(inherited)
      systemCalls.close(inherited)
      return [session, fd] as const
    })
  )
  if (options.environment === undefined)
    for (const name of ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name]
  return sessions
}

/**
 * Another custody, and what systemd has passed to this process: who claims a session of those has it at once, and from then on the other
 * holds it, so that anybody may take it up from there; systemd's store forgets it then. What nobody has claimed goes to the other at the end.
 *
 * Without sessions from systemd it is the other custody.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPassing = <E, R>(
  other: Layer.Layer<Custody, E, R>,
  options: Options = {}
): Layer.Layer<Custody, E, R> =>
  Layer.scoped(
    Custody,
    Effect.gen(function* () {
      const custody = yield* Custody
      const socket = (options.environment ?? process.env)["NOTIFY_SOCKET"] || SdNotify.systemSocket
      const passed = yield* Effect.sync(() => takePassed(options))
      if (passed.size === 0) return custody

      /** In the hands of both for a moment, and never of none. */
      const handOn = (session: string, fd: number) =>
        Effect.gen(function* () {
          const { hold, settled } = yield* custody.prepare(session)
          yield* Effect.suspend(() => hold(fd) ?? settled)
          passed.delete(session)
          systemCalls.close(fd)
          const notifier = yield* SdNotify.open(socket)
          yield* notifier.send(forget(session))
        }).pipe(
          Effect.scoped,
          Effect.catchAll((error) => Effect.logError(`systemd holds session "${session}" still`, error.message))
        )

      const claim = (session: string) =>
        Effect.suspend(() => {
          const fd = passed.get(session)
          if (fd === undefined) return custody.claim(session)
          const duplicate = systemCalls.dup(fd)
          return Effect.as(handOn(session, fd), duplicate < 0 ? undefined : duplicate)
        })

      yield* Effect.addFinalizer(() =>
        // One that can't be handed on is left to systemd.
        Effect.forEach([...passed], ([session, fd]) => handOn(session, fd), { discard: true })
      )
      return Custody.of({
        ...custody,
        claim,
        list: Effect.map(custody.list, (held) =>
          [...held, ...[...passed.keys()].map((session) => ({ session, holder: "systemd" as const, pid: 1 }))].sort(
            (one, another) => (one.session < another.session ? -1 : 1)
          )
        )
      })
    }).pipe(Effect.withSpan("SystemdFdStore.layerPassing"))
  ).pipe(Layer.provide(other))
