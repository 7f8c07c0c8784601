/**
 * When things of a run happened, by the clock on the wall.
 *
 * @since 0.1.0
 */
import type { Event } from "./Event.ts"
import * as TimeAxis from "./TimeAxis.ts"

/** A run's name begins with the time of its start: 20261123T193000Z-1a2b */
const startOf = (run: string): number | undefined => {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(run) ?? []
  if (second === undefined) return undefined
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second))
}

/**
 * Answers for moments of a run, in milliseconds since 1970. The real-time clock joins a run's boots; one that came back before it was read
 * begins at the time in its name. `undefined` of what neither of them reaches.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  run: string,
  events: ReadonlyArray<Event>
): ((moment: Pick<Event, "boot" | "monotonic">) => number | undefined) => {
  const { at } = TimeAxis.make(events)
  const [first] = events
  if (events.some((event) => event.type === "clock")) return at
  const start = startOf(run)
  return ({ boot, monotonic }) =>
    start === undefined || first === undefined || boot !== first.boot ? undefined : start + monotonic - first.monotonic
}

/**
 * Without what each later `agent resume` of a parked VM says of the jump once more: what is told of it with the first would come out
 * otherwise.
 *
 * @since 0.1.0
 * @category pure
 */
export const firstAccounts = (events: ReadonlyArray<Event>): ReadonlyArray<Event> => {
  const seen = new Set<string>()
  return events.filter((event) => {
    if (event.type !== "clock" && !(event.type === "step" && event.step === "boot")) return true
    const key = `${event.type} ${event.boot}`
    return !seen.has(key) && seen.add(key)
  })
}
