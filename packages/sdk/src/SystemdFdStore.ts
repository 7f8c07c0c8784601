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
import * as Schedule from "effect/Schedule"
import { Custody, HoldFailed } from "./Custody.ts"
import * as errno from "./internal/errno.ts"
import * as FdName from "./internal/fdName.ts"
import * as HeldDescriptors from "./internal/HeldDescriptors.ts"
import { systemCalls } from "./internal/libc.ts"
import * as UnixSocket from "./internal/unixSocket.ts"

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
  if (Number(environment["LISTEN_PID"]) !== process.pid) return sessions
  const names = (environment["LISTEN_FDNAMES"] ?? "").split(":").slice(0, Number(environment["LISTEN_FDS"] ?? 0))
  names.forEach((name, index) => {
    const session = FdName.decode(name)
    if (session !== undefined && !sessions.has(session)) sessions.set(session, first + index)
  })
  return sessions
}

/** systemd takes notifications in between other work. */
const soon = Schedule.intersect(Schedule.spaced("10 millis"), Schedule.recurs(500))

const SLICE_MS = 250
const BARRIER_SLICES = 20

/**
 * A notification that may come back as -EAGAIN, with as many waiting as the queue takes (net.unix.max_dgram_qlen).
 */
const notify = (socket: number, lines: ReadonlyArray<string>, file?: number): number =>
  UnixSocket.send(socket, Buffer.from(lines.join("\n"), "utf8"), file)

const storing = (session: string): ReadonlyArray<string> => [
  "FDSTORE=1",
  `FDNAME=${FdName.encode(session)}`,
  // It isn't polled: a session has nothing to say, and an error on it were no reason to let it go.
  "FDPOLL=0"
]

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

    const socket = Effect.acquireRelease(
      Effect.suspend(() => {
        const fd = UnixSocket.connectDatagram(path)
        return fd < 0 ? Effect.fail(`NOTIFY_SOCKET ${path}: ${errno.errnoName(-fd)}`) : Effect.succeed(fd)
      }),
      (fd) => Effect.sync(() => systemCalls.close(fd))
    )

    const send = (connected: number, lines: ReadonlyArray<string>, file?: number) =>
      Effect.suspend(() => {
        const sent = notify(connected, lines, file)
        return sent < 0 ? Effect.fail(sent) : Effect.void
      }).pipe(
        Effect.retry({ while: (negated) => negated === -errno.EAGAIN, schedule: soon }),
        Effect.mapError((negated) => `systemd can't be told: ${errno.errnoName(-negated)}`)
      )

    /** systemd closes the descriptor when it has dealt with everything that was sent before (sd_notify_barrier(3)). */
    const barrier = (connected: number) =>
      Effect.acquireUseRelease(
        Effect.suspend(() => {
          const ends = UnixSocket.pipe()
          return typeof ends === "number"
            ? Effect.fail(`no pipe: ${errno.errnoName(-ends)}`)
            : Effect.succeed({ ...ends, written: false })
        }),
        (ends) =>
          send(connected, ["BARRIER=1"], ends.write).pipe(
            Effect.zipRight(
              Effect.sync(() => {
                systemCalls.close(ends.write)
                ends.written = true
              })
            ),
            Effect.zipRight(
              Effect.promise(() => UnixSocket.waitForAsync(ends.read, SLICE_MS)).pipe(
                Effect.filterOrFail(
                  (closed) => closed,
                  () => "systemd doesn't say that it has it"
                ),
                Effect.retry({ times: BARRIER_SLICES })
              )
            )
          ),
        (ends) =>
          Effect.sync(() => {
            systemCalls.close(ends.read)
            if (!ends.written) systemCalls.close(ends.write)
          })
      )

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
              sent = notify(connected, storing(session), fd)
              file = fd
              return sent >= 0 || sent === -errno.EAGAIN
                ? undefined
                : failed(session, `systemd can't be told: ${errno.errnoName(-sent)}`)
            },
            settled: Effect.suspend(() => (sent < 0 ? send(connected, storing(session), file) : Effect.void)).pipe(
              Effect.zipRight(barrier(connected)),
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
            yield* send(yield* socket, ["FDSTOREREMOVE=1", `FDNAME=${FdName.encode(session)}`])
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
