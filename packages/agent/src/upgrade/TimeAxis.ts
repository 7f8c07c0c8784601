/**
 * One axis for the moments of a run, though its two kernels have a clock each.
 *
 * @since 0.1.0
 */
import type { Event } from "./Event.ts"
import { find, isStep, numberOf, type StepEvent } from "./StepEvents.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface TimeAxis {
  /** Milliseconds of the real-time clock; `undefined` of a boot whose clock was not joined to it. */
  readonly at: (moment: Pick<Event, "boot" | "monotonic">) => number | undefined
  /** How far moments of one boot may be off against those of the other, in milliseconds. */
  readonly uncertainty: number
}

/**
 * When the log of the kernel that a `boot` event is about begins, on that boot's clock. Both begin with the same zero: CLOCK_MONOTONIC
 * is set from `local_clock`, which the kernel's log is stamped with (`timekeeping_init` in `kernel/time/timekeeping.c`,
 * `vprintk_store` in `kernel/printk/printk.c`); so a log that has lost its first line is taken to begin there.
 *
 * @since 0.1.0
 * @category accessors
 */
export const firstLineOf = (boot: StepEvent): number => numberOf(boot.detail?.["firstLine"]) ?? 0

/**
 * Joins the clocks of a run's boots. Clocks that disagree with the order of things are put right: no kernel's log begins before the
 * jump that started it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (events: ReadonlyArray<Event>): TimeAxis => {
  const clocks = new Map(events.flatMap((event) => (event.type === "clock" ? [[event.boot, event] as const] : [])))
  const offsets = new Map([...clocks].map(([boot, { offset }]) => [boot, offset]))
  const [first] = events
  // One boot is its own axis.
  if (first !== undefined && offsets.size === 0 && events.every(({ boot }) => boot === first.boot))
    offsets.set(first.boot, 0)

  const at: TimeAxis["at"] = ({ boot, monotonic }) => {
    const offset = offsets.get(boot)
    return offset === undefined ? undefined : monotonic + offset
  }
  const steps = events.filter(isStep)
  const jump = find(steps, "jump", "started")
  const boot = find(steps, "boot", "done")
  const jumped = jump === undefined ? undefined : at(jump)
  const offset = boot === undefined || boot.boot === jump?.boot ? undefined : offsets.get(boot.boot)
  if (boot !== undefined && jumped !== undefined && offset !== undefined)
    offsets.set(boot.boot, Math.max(offset, jumped - firstLineOf(boot)))
  return { at, uncertainty: [...clocks.values()].reduce((sum, clock) => sum + clock.uncertainty, 0) }
}
