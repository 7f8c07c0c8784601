/**
 * All series of this host with their values.
 *
 * @since 0.1.0
 */
import * as KernelRelease from "@liveupdate/sdk/KernelRelease"
import * as Effect from "effect/Effect"
import type { Event } from "../upgrade/Event.ts"
import * as HostFacts from "../upgrade/HostFacts.ts"
import * as Parked from "../upgrade/Parked.ts"
import * as RunTime from "../upgrade/RunTime.ts"
import * as Report from "../upgrade/report/Report.ts"
import * as StepEvents from "../upgrade/StepEvents.ts"
import { Vmm } from "../vmm/Vmm.ts"
import { VmStore } from "../vmm/VmStore.ts"
import type * as Accounts from "./Accounts.ts"
import * as Exposition from "./Exposition.ts"
import * as Series from "./Series.ts"
import type * as Tally from "./Tally.ts"

/**
 * What is so now, and in no log.
 *
 * @since 0.1.0
 * @category models
 */
export interface Now {
  readonly version: string
  readonly bootId: string
  readonly release: string
  readonly running: number | undefined
  /** Unknown when whoever holds the sessions gives no answer. */
  readonly parked: number | undefined
}

/**
 * Asks the host.
 *
 * @since 0.1.0
 * @category observing
 */
export const now = (version: string) =>
  Effect.gen(function* () {
    const store = yield* VmStore
    const vmm = yield* Vmm
    // A record that is damaged is told by `agent vm list`, and must not keep all other figures.
    const running = store.ids.pipe(
      Effect.flatMap(
        Effect.filter((id) => Effect.flatMap(store.get(id), vmm.isRunning).pipe(Effect.orElseSucceed(() => false)))
      ),
      Effect.map((ids) => ids.length),
      Effect.orElseSucceed(() => undefined)
    )
    const parked = Parked.list.pipe(
      Effect.map((vms) => vms.length),
      Effect.orElseSucceed(() => undefined)
    )
    return yield* Effect.all({
      version: Effect.succeed(version),
      bootId: HostFacts.bootId,
      release: KernelRelease.running,
      running,
      parked
    })
  })

type Samples = Exposition.Family["samples"]

/** Every combination of values that are known beforehand. */
const combinations = (
  labels: Readonly<Record<string, Series.Label>>
): ReadonlyArray<Readonly<Record<string, string>>> =>
  Object.entries(labels).reduce<ReadonlyArray<Readonly<Record<string, string>>>>(
    (all, [name, { values = [] }]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}]
  )

const zero = (series: Series.Series): number | Exposition.Histogram =>
  series.type === "histogram" ? { sum: 0, count: 0, bounds: {} } : 0

const countedOf = (series: Series.Series, total: Tally.Tally): Samples => {
  const found = series.type === "histogram" ? total.histograms[series.name] : total.counters[series.name]
  const samples = new Map<string, number | Exposition.Histogram>(
    combinations(series.labels).map((labels) => [Exposition.labelsOf(series, labels), zero(series)])
  )
  for (const [labels, value] of Object.entries(found ?? {})) samples.set(labels, value)
  return [...samples]
}

const outcomeOf = (events: ReadonlyArray<Event>) => events.findLast((event) => event.type === "outcome")

/** Its last one came last, even if another run began in between. */
const lastOutcome = (runs: ReadonlyArray<Accounts.Run>): Samples => {
  const last = runs
    .flatMap(({ run, events }) => {
      const outcome = outcomeOf(events)
      const at = outcome === undefined ? undefined : RunTime.make(run, events)(outcome)
      return outcome?.type !== "outcome" || at === undefined ? [] : [{ result: outcome.result, at }]
    })
    .reduce<{ readonly result: keyof typeof Series.resultOf; readonly at: number } | undefined>(
      (latest, one) => (latest === undefined || one.at > latest.at ? one : latest),
      undefined
    )
  return last === undefined
    ? []
    : [[Exposition.labelsOf(Series.lastRun, { result: Series.resultOf[last.result] }), last.at / 1000]]
}

const lastBlackouts = (runs: ReadonlyArray<Accounts.Run>): Samples => {
  const last = runs.findLast(({ events }) =>
    events.some((event) => StepEvents.isStep(event) && event.step === "finish" && event.status === "done")
  )
  if (last === undefined) return []
  return Report.make(last.run, RunTime.firstAccounts(last.events)).vms.flatMap(
    ({ id, blackout }): Samples =>
      blackout?.end === undefined || blackout.shares === undefined
        ? []
        : [[Exposition.labelsOf(Series.lastBlackout, { vm: id }), (blackout.end - blackout.begin) / 1000]]
  )
}

/** Who handed over to the kernel that runs now. */
const previousRelease = (runs: ReadonlyArray<Accounts.Run>, bootId: string): string => {
  const boot = runs
    .flatMap(({ events }) => events.filter(StepEvents.isStep))
    .findLast((event) => event.step === "boot" && event.status === "done" && event.boot === bootId)
  return String(boot?.detail?.["from"] ?? "")
}

/**
 * As families, in the order of the table.
 *
 * @since 0.1.0
 * @category pure
 */
export const families = ({ total, runs }: Accounts.Accounts, now: Now): ReadonlyArray<Exposition.Family> => {
  const state = (name: string, count: number | undefined): Samples =>
    count === undefined ? [] : [[Exposition.labelsOf(Series.vms, { state: name }), count]]
  const told = new Map<string, Samples>([
    [Series.unfinished.name, [["", runs.filter(({ events }) => outcomeOf(events) === undefined).length]]],
    [Series.lastRun.name, lastOutcome(runs)],
    [Series.lastBlackout.name, lastBlackouts(runs)],
    [Series.vms.name, [...state("running", now.running), ...state("parked", now.parked)]],
    [
      Series.kernel.name,
      [
        [
          Exposition.labelsOf(Series.kernel, {
            release: now.release,
            previous_release: previousRelease(runs, now.bootId)
          }),
          1
        ]
      ]
    ],
    [Series.agent.name, [[Exposition.labelsOf(Series.agent, { version: now.version }), 1]]]
  ])
  return Series.all.map((series) => ({ series, samples: told.get(series.name) ?? countedOf(series, total) }))
}

/**
 * As Prometheus reads them.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (accounts: Accounts.Accounts, now: Now): string => Exposition.render(families(accounts, now))
