/**
 * Time on both sides of a jump. CLOCK_MONOTONIC begins anew with every kernel, and the wall clock of a new kernel is set
 * from the real-time clock's whole seconds. The real-time clock itself ticks on through a kexec, so each side looks for
 * one of its edges and notes the offset: that joins both axes to a few milliseconds, without touching any hardware.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/**
 * This boot's CLOCK_MONOTONIC in milliseconds (Node's hrtime reads that clock).
 *
 * @since 0.1.0
 * @category accessors
 */
export const monotonic: Effect.Effect<number> = Effect.sync(() => Number(process.hrtime.bigint()) / 1e6)

/**
 * When this process started, on the same axis.
 *
 * @since 0.1.0
 * @category accessors
 */
export const processStart: Effect.Effect<number> = Effect.map(monotonic, (now) => now - performance.now())

/**
 * @since 0.1.0
 * @category models
 */
export interface Calibration {
  /** Real-time clock minus CLOCK_MONOTONIC, milliseconds. */
  readonly offset: number
  /** Milliseconds. */
  readonly uncertainty: number
}

const RTC = "/sys/class/rtc/rtc0/since_epoch"

interface Sample {
  readonly seconds: number
  readonly before: number
  readonly after: number
}

const sample: Effect.Effect<Sample | undefined> = Effect.gen(function* () {
  const before = yield* monotonic
  const seconds = yield* Effect.sync(() => {
    try {
      return Number(Fs.readFileSync(RTC, "utf8"))
    } catch {
      return Number.NaN
    }
  })
  const after = yield* monotonic
  return Number.isSafeInteger(seconds) ? { seconds, before, after } : undefined
})

/** Without a real-time clock there is only the wall clock, which may be a second off on a new kernel. */
const fromWallClock: Effect.Effect<Calibration> = Effect.map(monotonic, (now) => ({
  offset: performance.timeOrigin + performance.now() - now,
  uncertainty: 1000
}))

/**
 * Waits up to a second for the real-time clock's next edge. Run it beside other work, never within the blackout.
 *
 * @since 0.1.0
 * @category operations
 */
export const calibrate: Effect.Effect<Calibration> = Effect.gen(function* () {
  const first = yield* sample
  if (first === undefined) return yield* fromWallClock
  let previous = first
  const edge = yield* Effect.suspend(() =>
    Effect.flatMap(sample, (next) => {
      if (next === undefined) return Effect.fail("no edge yet" as const)
      if (next.seconds === previous.seconds) {
        previous = next
        return Effect.fail("no edge yet" as const)
      }
      return Effect.succeed({ seconds: next.seconds, earliest: previous.before, latest: next.after })
    })
  ).pipe(
    Effect.retry(Schedule.intersect(Schedule.spaced("2 millis"), Schedule.recurs(1500))),
    Effect.orElseSucceed(() => undefined)
  )
  if (edge === undefined) return yield* fromWallClock
  const middle = (edge.earliest + edge.latest) / 2
  return { offset: edge.seconds * 1000 - middle, uncertainty: (edge.latest - edge.earliest) / 2 }
}).pipe(Effect.withSpan("HostClock.calibrate"))
