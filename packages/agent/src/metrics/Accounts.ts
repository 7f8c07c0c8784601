/**
 * The counters of a host, over all of its boots. The logs of the runs are the truth: as long as a run is there it is counted from its log.
 * What is remembered in a file besides is what logs can't say: runs that were removed since, so that no counter goes down, and live
 * updates that were refused, which leave no log.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Event } from "../upgrade/Event.ts"
import * as RunEvents from "../upgrade/RunEvents.ts"
import * as RunLog from "../upgrade/RunLog.ts"
import * as Turn from "../upgrade/Turn.ts"
import { firstLineOf } from "../vmm/SystemError.ts"
import * as Tally from "./Tally.ts"
import * as Textfile from "./Textfile.ts"

/**
 * What is remembered, in `metrics.json` beside the runs.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Remembered = Schema.Struct({
  version: Schema.Literal(1),
  /** Runs that are there no more, and refusals. */
  settled: Tally.Tally,
  /** Which runs are in `settled`: one that is put back isn't counted twice. */
  settledRuns: Schema.Array(Schema.String),
  /** Runs that were there the last time, in case they are removed. */
  runs: Schema.Record({ key: Schema.String, value: Tally.Tally })
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Remembered = typeof Remembered.Type

const nothing: Remembered = { version: 1, settled: Tally.empty, settledRuns: [], runs: {} }

/**
 * What is remembered can't be understood. Counters would begin anew without anybody having decided so.
 *
 * @since 0.1.0
 * @category errors
 */
export class AccountsUnreadable extends Data.TaggedError("AccountsUnreadable")<{
  readonly path: string
  readonly reason: string
}> {
  override get message(): string {
    return `The counters of earlier live updates can't be read from ${this.path}: ${this.reason}. Without the file they are counted anew from the runs that are still there: mv ${this.path} ${this.path}.damaged`
  }
}

/**
 * A run that is on the disk.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run {
  readonly run: string
  readonly events: ReadonlyArray<Event>
}

/**
 * Everything that is known.
 *
 * @since 0.1.0
 * @category models
 */
export interface Accounts {
  readonly total: Tally.Tally
  /** Oldest first. */
  readonly runs: ReadonlyArray<Run>
}

/**
 * Where what is remembered is.
 *
 * @since 0.1.0
 * @category accessors
 */
export const fileOf = (runs: string = RunLog.defaultDirectory): string => Path.join(Path.dirname(runs), "metrics.json")

const decode = Schema.decodeUnknownSync(Schema.parseJson(Remembered))

const remembered = (path: string): Effect.Effect<Remembered, AccountsUnreadable> =>
  Effect.try({
    try: () => (Fs.existsSync(path) ? decode(Fs.readFileSync(path, "utf8")) : nothing),
    catch: (error) => new AccountsUnreadable({ path, reason: firstLineOf(error) })
  })

const runsIn = (directory: string): Effect.Effect<ReadonlyArray<Run>> =>
  Effect.flatMap(
    RunLog.list(directory),
    Effect.forEach((run) => Effect.map(RunEvents.of(run, directory), (events) => ({ run, events })))
  )

/** What is remembered, with the runs as they are now; and what is to be remembered from now on. */
const settle = (before: Remembered, runs: ReadonlyArray<Run>): Remembered => {
  const there = new Map(
    runs.flatMap(({ run, events }) =>
      before.settledRuns.includes(run) ? [] : [[run, Tally.ofRun(run, events)] as const]
    )
  )
  const gone = Object.entries(before.runs).filter(([run]) => !there.has(run) && !before.settledRuns.includes(run))
  return {
    version: 1,
    settled: gone.reduce((total, [, tally]) => Tally.add(total, tally), before.settled),
    settledRuns: [...before.settledRuns, ...gone.map(([run]) => run)],
    runs: Object.fromEntries(there)
  }
}

const totalOf = ({ settled, runs }: Remembered): Tally.Tally => Object.values(runs).reduce(Tally.add, settled)

/**
 * All counters as they are now; writes nothing. Fails with `AccountsUnreadable`.
 *
 * @since 0.1.0
 * @category operations
 */
export const read = (directory: string = RunLog.defaultDirectory): Effect.Effect<Accounts, AccountsUnreadable> =>
  Effect.gen(function* () {
    const before = yield* remembered(fileOf(directory))
    const runs = yield* runsIn(directory)
    return { total: totalOf(settle(before, runs)), runs }
  })

/** The next to change it waits; nobody has it for long. */
const alone = (path: string) =>
  Turn.ofLock(Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(500)), `${path}.lock`)

const change = (
  directory: string,
  by: (before: Remembered) => Effect.Effect<Remembered>
): Effect.Effect<Remembered, AccountsUnreadable | Textfile.NotWritten | LiveUpdateError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const path = fileOf(directory)
      yield* alone(path)
      const after = yield* Effect.flatMap(remembered(path), by)
      yield* Textfile.replace(path, `${JSON.stringify(after)}\n`, 0o600)
      return after
    })
  )

/**
 * Remembers the runs that there are, so that they count when they are removed. Fails with `AccountsUnreadable`, with `NotWritten`, or as
 * `HostLock.acquire` does.
 *
 * @since 0.1.0
 * @category operations
 */
export const keep = (directory: string = RunLog.defaultDirectory) =>
  Effect.gen(function* () {
    const runs = yield* runsIn(directory)
    const after = yield* change(directory, (before) => Effect.succeed(settle(before, runs)))
    return { total: totalOf(after), runs } satisfies Accounts
  })

/**
 * Notes that a live update was refused: it has no log.
 *
 * @since 0.1.0
 * @category operations
 */
export const refused = (error: unknown, directory: string = RunLog.defaultDirectory) =>
  change(directory, (before) =>
    Effect.succeed({ ...before, settled: Tally.add(before.settled, Tally.refused(RunLog.failureOf(error))) })
  )
