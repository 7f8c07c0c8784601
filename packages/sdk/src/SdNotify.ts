/**
 * What a service tells systemd: that it is ready, what it does, that it is alive (sd_notify(3)). One datagram each, to the socket that
 * `NOTIFY_SOCKET` names; a name that begins with "@" is abstract.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Notification from "./internal/notification.ts"

/**
 * systemd could not be told, or didn't say that it had heard.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotifyFailed extends Schema.TaggedError<NotifyFailed>()("NotifyFailed", {
  socket: Schema.String,
  reason: Schema.String
}) {
  get next(): string {
    return "Look at what systemd says of it: journalctl -b _PID=1"
  }
  override get message(): string {
    return `systemd can't be notified at ${this.socket}: ${this.reason}. ${this.next}`
  }
}

/**
 * Where systemd listens for notifications of every service; what it puts into `NOTIFY_SOCKET`.
 *
 * @since 0.1.0
 * @category constants
 */
export const systemSocket = "/run/systemd/notify"

/**
 * Such as `{ READY: 1, STATUS: "guests run" }`. The end of a line ends a field, so one in a value becomes a blank.
 *
 * @since 0.1.0
 * @category models
 */
export type Fields = Readonly<Record<string, string | number>>

/**
 * A line to systemd.
 *
 * @since 0.1.0
 * @category models
 */
export interface Notifier {
  /**
   * Fails with `NotifyFailed`. `file`: a descriptor that systemd gets a duplicate of. `pid`: in the name of that process, which has to be one of
   * a service's, and needs CAP_SYS_ADMIN; sd_pid_notify(3).
   */
  readonly send: (
    fields: Fields,
    options?: { readonly file?: number; readonly pid?: number }
  ) => Effect.Effect<void, NotifyFailed>
  /** Returns when systemd has dealt with everything that was sent. Fails with `NotifyFailed`, after some seconds. */
  readonly settled: Effect.Effect<void, NotifyFailed>
}

/**
 * Fails with `NotifyFailed` when nobody listens there.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = (socket: string = systemSocket): Effect.Effect<Notifier, NotifyFailed, Scope.Scope> => {
  const failed = (reason: string) => new NotifyFailed({ socket, reason })
  return Notification.connect(socket).pipe(
    Effect.map(
      (fd): Notifier => ({
        send: (fields, { file, pid } = {}) =>
          Effect.mapError(Notification.send(fd, Notification.linesOf(fields), file, pid), failed),
        settled: Effect.mapError(Notification.barrier(fd), failed)
      })
    ),
    Effect.mapError(failed)
  )
}

/**
 * What systemd tells a service in its environment.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** `undefined` for a process that systemd expects nothing of. */
  readonly socket: string | undefined
  /** How long it may say nothing, where the unit has `WatchdogSec=`. */
  readonly watchdog: Duration.Duration | undefined
}

/**
 * Reads the environment. The children that it is handed down to are not the service.
 *
 * @since 0.1.0
 * @category accessors
 */
export const service = (environment: Readonly<Record<string, string | undefined>> = process.env): Service => {
  const micros = Number(environment["WATCHDOG_USEC"] ?? 0)
  return {
    socket: environment["NOTIFY_SOCKET"] || undefined,
    watchdog: micros > 0 ? Duration.micros(BigInt(Math.trunc(micros))) : undefined
  }
}

/**
 * Says that it is alive, for as long as the scope lives, and while it starts that it needs its time (`EXTEND_TIMEOUT_USEC`): half as often as it
 * has to. Does nothing where there is no watchdog. What can't be told is left: systemd will notice.
 *
 * @since 0.1.0
 * @category operations
 */
export const keepAlive = (
  notifier: Notifier,
  { watchdog }: Pick<Service, "watchdog">
): Effect.Effect<void, never, Scope.Scope> => {
  if (watchdog === undefined) return Effect.void
  const micros = Math.trunc(Duration.toMillis(watchdog) * 1000)
  return notifier
    .send({ WATCHDOG: 1, EXTEND_TIMEOUT_USEC: micros })
    .pipe(Effect.ignore, Effect.delay(Duration.times(watchdog, 0.5)), Effect.forever, Effect.forkScoped, Effect.asVoid)
}
