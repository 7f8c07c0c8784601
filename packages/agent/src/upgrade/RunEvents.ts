/**
 * What the logs of runs say, as events. Apart from `RunLog`, which the second half loads and which needs no decoder.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Event from "./Event.ts"
import * as RunLog from "./RunLog.ts"

/**
 * The events of a run, in order; none where there is no such run.
 *
 * @since 0.1.0
 * @category operations
 */
export const of = (run: string, directory?: string): Effect.Effect<ReadonlyArray<Event.Event>> =>
  Effect.map(RunLog.readFrom(run, 0, directory), ({ lines }) => Event.parseLines(lines))

/**
 * The name of the last run, and its events; `undefined` where there was none yet.
 *
 * @since 0.1.0
 * @category operations
 */
export const last = Effect.gen(function* () {
  const run = (yield* RunLog.list()).at(-1)
  return run === undefined ? undefined : { run, events: yield* of(run) }
})
