/**
 * What systemd hears of a command that it has started as a service: what it is at, that it is ready, and that it is alive. A command that
 * anybody else has started says nothing.
 *
 * @since 0.1.0
 */
import * as SdNotify from "@liveupdate/sdk/SdNotify"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * @since 0.1.0
 * @category models
 */
export interface Supervision {
  /** The service is ready, or still is; and what `systemctl status` shows of it. */
  readonly ready: (status: string) => Effect.Effect<void>
}

/** Children that inherited them would speak for the service. */
const takeService = Effect.sync(() => {
  const service = SdNotify.service()
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete process.env[name]
  return service
})

/**
 * For as long as the scope lives.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (status: string): Effect.Effect<Supervision, never, Scope.Scope> =>
  Effect.gen(function* () {
    const service = yield* takeService
    if (service.socket === undefined) return { ready: () => Effect.void }
    const notifier = yield* SdNotify.open(service.socket)
    // From the first sign of life on systemd counts: one that hangs before it is ready is ended, too.
    yield* notifier.send({ STATUS: status, ...(service.watchdog === undefined ? {} : { WATCHDOG: 1 }) })
    yield* SdNotify.keepAlive(notifier, service)
    return {
      ready: (status: string) =>
        notifier.send({ READY: 1, STATUS: status }).pipe(Effect.catchAll((error) => Effect.logWarning(error.message)))
    }
  }).pipe(
    // A service that systemd doesn't hear of is ended in the end; until then the guests come first.
    Effect.catchAll((error) => Effect.as(Effect.logWarning(error.message), { ready: () => Effect.void }))
  )
