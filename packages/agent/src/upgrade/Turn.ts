/**
 * What one process at a time can have: the device, and the host's lock. Whoever only looks, such as `agent plan`, `agent doctor`, or systemd at
 * boot, has it for a moment: until that has passed nobody is refused, let alone undone.
 *
 * @since 0.1.0
 */
import * as HostLock from "@liveupdate/sdk/HostLock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** Of 5 milliseconds each. */
const tries = (count: number) => Schedule.intersect(Schedule.spaced("5 millis"), Schedule.recurs(count))

/**
 * Tries again for five seconds while another process has the device open.
 *
 * @since 0.1.0
 * @category operations
 */
export const ofDevice = <A, E extends { readonly _tag: string }, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.retry(effect, { while: (error) => error._tag === "DeviceBusy", schedule: tries(1000) })

/**
 * A lock, the host's unless told otherwise, for as long as the scope lives; tries again as the schedule says while another process has it.
 *
 * @since 0.1.0
 * @category operations
 */
export const ofLock = (schedule: Schedule.Schedule<unknown>, path?: string) =>
  Effect.retry(HostLock.acquire(path), { while: (error) => error._tag === "HostLocked", schedule })

/**
 * The host's lock; tries again for a quarter of a second, as whoever works on the host has it for longer than that.
 *
 * @since 0.1.0
 * @category operations
 */
export const ofHost = ofLock(tries(50))
