/**
 * A live update that is under way already: who asks for the same one again watches it, and ends as it does.
 *
 * @since 0.1.0
 */
import * as HostLock from "@liveupdate/sdk/HostLock"
import type { HostLocked } from "@liveupdate/sdk/LiveUpdateError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Event from "../upgrade/Event.ts"
import * as RunEvents from "../upgrade/RunEvents.ts"
import * as RunLog from "../upgrade/RunLog.ts"

/**
 * The live update that was joined did not go through; it has said why.
 *
 * @since 0.1.0
 * @category errors
 */
export class JoinedRunFailed extends Data.TaggedError("JoinedRunFailed")<{
  readonly result: string
  readonly message: string
}> {}

const isOutcome = (event: Event.Event) => event.type === "outcome"

/**
 * Every event of a run as it is written, until its outcome, or until nobody is at it any more; returns its last event.
 *
 * @since 0.1.0
 * @category running
 */
export const follow = (
  run: string,
  listener: RunLog.Listener,
  isOver: Effect.Effect<boolean> = Effect.succeed(false)
): Effect.Effect<Event.Event | undefined> =>
  Effect.iterate(
    { offset: 0, last: undefined as Event.Event | undefined, over: false },
    {
      while: ({ last, over }) => !over && (last === undefined || !isOutcome(last)),
      body: ({ offset, last }) =>
        Effect.gen(function* () {
          // Asked first: what was written before it was over is read all the same.
          const over = yield* isOver
          const { lines, next } = yield* RunLog.readFrom(run, offset)
          const events = Event.parseLines(lines)
          yield* Effect.sync(() => events.forEach(listener))
          if (!over && !events.some(isOutcome)) yield* Effect.sleep("50 millis")
          return { offset: next, last: events.at(-1) ?? last, over }
        })
    }
  ).pipe(Effect.map(({ last }) => last))

const isLockFree = Effect.scoped(
  HostLock.acquire().pipe(
    Effect.as(true),
    Effect.orElseSucceed(() => false)
  )
)

interface Wanted {
  readonly kernel: string
  /** None: all of them. */
  readonly vms: ReadonlyArray<string>
  readonly listener: RunLog.Listener
}

/** The run that is under way, if it is the one that was asked for. */
const sameRun = ({ kernel, vms }: Wanted) =>
  Effect.gen(function* () {
    const last = yield* RunEvents.last
    if (last === undefined || last.events.some(isOutcome)) return undefined
    const { run, events } = last
    const preflight = events.find((event) => event.type === "step" && event.step === "preflight")
    const detail = preflight?.type === "step" ? preflight.detail : undefined
    const carried = Array.isArray(detail?.["vms"]) ? detail["vms"].map(String) : []
    const same = detail?.["image"] === kernel && vms.every((id) => carried.includes(id))
    return same ? run : undefined
  })

/**
 * Runs it; if another agent is at the same live update, that one is watched to its end instead. When that agent dies, this one begins anew,
 * and cleans up after it first. Fails with `HostLocked` when the host is at something else, with `JoinedRunFailed` when the other one did
 * not go through.
 *
 * @since 0.1.0
 * @category running
 */
export const orJoin = <E, R>(
  start: Effect.Effect<void, E | HostLocked, R>,
  wanted: Wanted
): Effect.Effect<void, E | HostLocked | JoinedRunFailed, R> =>
  Effect.catchIf(
    start,
    (error): error is HostLocked =>
      typeof error === "object" && error !== null && "_tag" in error && error._tag === "HostLocked",
    (locked) =>
      Effect.gen(function* () {
        const run = yield* sameRun(wanted)
        if (run === undefined) return yield* Effect.fail(locked)
        const last = yield* follow(run, wanted.listener, isLockFree)
        if (last?.type !== "outcome") return yield* orJoin(start, wanted)
        if (last.result !== "upgraded" && last.result !== "dry-run")
          return yield* new JoinedRunFailed({ result: last.result, message: last.message })
      })
  )
