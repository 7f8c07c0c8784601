/**
 * What is counted of live updates. Tallies add up, and one that is counted anew from a longer log is never less: a run is counted from its
 * first outcome on, and after that there is only forward.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Event } from "../upgrade/Event.ts"
import * as RunTime from "../upgrade/RunTime.ts"
import * as Report from "../upgrade/report/Report.ts"
import * as StepEvents from "../upgrade/StepEvents.ts"
import type { Histogram } from "./Exposition.ts"
import { labelsOf } from "./Exposition.ts"
import * as Series from "./Series.ts"

const numbers = Schema.Record({ key: Schema.String, value: Schema.Number })

/**
 * By series, and by the values of its labels as they are written.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Tally = Schema.Struct({
  counters: Schema.Record({ key: Schema.String, value: numbers }),
  histograms: Schema.Record({
    key: Schema.String,
    value: Schema.Record({
      key: Schema.String,
      value: Schema.Struct({ sum: Schema.Number, count: Schema.Number, bounds: numbers })
    })
  })
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Tally = typeof Tally.Type

/**
 * Nothing was counted.
 *
 * @since 0.1.0
 * @category constructors
 */
export const empty: Tally = { counters: {}, histograms: {} }

type Table<A> = Readonly<Record<string, A>>

const merged = <A>(one: Table<A>, other: Table<A>, add: (a: A, b: A) => A): Table<A> => {
  const result: Record<string, A> = { ...one }
  for (const [key, value] of Object.entries(other)) {
    const there = Object.hasOwn(result, key) ? result[key] : undefined
    result[key] = there === undefined ? value : add(there, value)
  }
  return result
}

const plus = (a: number, b: number): number => a + b

const joined = (a: Histogram, b: Histogram): Histogram => ({
  sum: a.sum + b.sum,
  count: a.count + b.count,
  bounds: merged(a.bounds, b.bounds, plus)
})

/**
 * Both together.
 *
 * @since 0.1.0
 * @category operations
 */
export const add = (one: Tally, other: Tally): Tally => ({
  counters: merged(one.counters, other.counters, (a, b) => merged(a, b, plus)),
  histograms: merged(one.histograms, other.histograms, (a, b) => merged(a, b, joined))
})

/**
 * One thing was counted, or several at once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const counted = <Labels extends string>(
  series: Series.Series<Labels>,
  labels: Readonly<Record<Labels, string>>,
  by = 1
): Tally => ({ counters: { [series.name]: { [labelsOf(series, labels)]: by } }, histograms: {} })

/**
 * One thing was observed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const observed = <Labels extends string>(
  series: Series.Series<Labels>,
  labels: Readonly<Record<Labels, string>>,
  value: number
): Tally => {
  const bound = series.buckets?.find((bound) => value <= bound)
  const bounds = bound === undefined ? {} : { [String(bound)]: 1 }
  return {
    counters: {},
    histograms: { [series.name]: { [labelsOf(series, labels)]: { sum: value, count: 1, bounds } } }
  }
}

/**
 * A failure, by what an event tells of it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failed = (step: string, detail: Readonly<Record<string, unknown>> | undefined): Tally => {
  const text = (name: string) => (typeof detail?.[name] === "string" ? detail[name] : "")
  const errno = text("errno")
  return counted(Series.errors, {
    step,
    error: text("error") || "unknown",
    operation: text("operation"),
    // What isn't the kernel's name for something, such as `none`, would be a second word for nothing.
    errno: /^E[A-Z0-9]+$/.test(errno) ? errno : ""
  })
}

/**
 * A live update that was refused.
 *
 * @since 0.1.0
 * @category constructors
 */
export const refused = (detail: Readonly<Record<string, unknown>>): Tally =>
  add(counted(Series.runs, { result: "refused" satisfies Series.Result }), failed("preflight", detail))

const sum = (tallies: ReadonlyArray<Tally>): Tally => tallies.reduce(add, empty)

const seconds = (ms: number): number => Math.max(0, ms) / 1000

/** `ours` is the agent's in a label that others read. */
const shareNames = {
  kernel: "kernel",
  vmmStart: "vmm_start",
  stateSave: "state_save",
  stateLoad: "state_load",
  ours: "agent"
} as const satisfies Record<keyof typeof Report.Shares.Type, string>

/** One that came through the jump counts when its session is finished: until then it may be brought back anew. */
const blackouts = ({ vms }: Report.Report, steps: ReadonlyArray<StepEvents.StepEvent>): ReadonlyArray<Tally> =>
  vms.flatMap(({ id, blackout }) => {
    if (blackout?.end === undefined) return []
    const { begin, end, shares } = blackout
    if (shares !== undefined && StepEvents.find(steps, "finish", "done", id) === undefined) return []
    const result: Series.Result = shares === undefined ? "rolled_back" : "succeeded"
    return [
      observed(Series.blackout, { result }, seconds(end - begin)),
      ...(shares === undefined
        ? []
        : (Object.keys(shareNames) as ReadonlyArray<keyof typeof shareNames>).map((share) =>
            counted(Series.shares, { who: shareNames[share] }, seconds(shares[share]))
          ))
    ]
  })

const isSame = (one: Report.Bar, other: Report.Bar): boolean =>
  one.part === other.part && one.begin === other.begin && one.end === other.end

const phases = ({ host, vms }: Report.Report): ReadonlyArray<Tally> =>
  // A VM's bars repeat those of the host that it stands still for.
  [...host, ...vms.flatMap(({ bars }) => bars.filter((bar) => !host.some((one) => isSame(one, bar))))]
    .filter(({ failed }) => failed !== true)
    .map(({ part, begin, end }) => observed(Series.phases, { phase: part }, seconds(end - begin)))

const failures = (events: ReadonlyArray<Event>, steps: ReadonlyArray<StepEvents.StepEvent>): ReadonlyArray<Tally> => {
  const told = steps.filter(({ status }) => status === "failed")
  const unsaid = events.flatMap((event) => {
    if (event.type !== "outcome" || event.result !== "rolled-back" || event.detail === undefined) return []
    const { detail } = event
    return told.some((step) => step.detail?.["reason"] === detail["reason"]) ? [] : [detail]
  })
  return [
    ...told.map(({ step, detail }) => failed(step, detail)),
    ...unsaid.map((detail) => failed(String(detail["phase"] ?? "unknown"), detail))
  ]
}

/** What went through the jump, if it came to the next kernel. */
const carried = (steps: ReadonlyArray<StepEvents.StepEvent>): ReadonlyArray<Tally> => {
  const [jump, boot] = [
    StepEvents.find(steps, "jump", "started"),
    steps.find(({ step, status }) => step === "boot" && status === "done")
  ]
  if (jump === undefined || boot === undefined) return []
  const detail = (name: string) => StepEvents.numberOf(jump.detail?.[name]) ?? 0
  const all = (step: StepEvents.StepEvent["step"], name: string) =>
    steps
      .filter((event) => event.step === step && event.status === "done")
      .reduce((total, event) => total + (StepEvents.numberOf(event.detail?.[name]) ?? 0), 0)
  return [
    counted(Series.kexecs, { way: jump.detail?.["way"] === "systemd" ? "systemd" : "direct" }),
    counted(Series.sessions, {}, detail("sessions")),
    counted(Series.files, {}, detail("files")),
    counted(Series.bytes, { content: "memory" }, all("preserve-running", "memoryBytes")),
    counted(Series.bytes, { content: "state" }, all("save-state", "stateBytes"))
  ]
}

/**
 * Of one run, from its events; nothing while it has no outcome.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofRun = (run: string, all: ReadonlyArray<Event>): Tally => {
  const events = RunTime.firstAccounts(all)
  const outcomes = new Set(events.flatMap((event) => (event.type === "outcome" ? [event.result] : [])))
  if (outcomes.size === 0) return empty
  const report = Report.make(run, events)
  const steps = events.filter(StepEvents.isStep)
  return sum([
    ...[...outcomes].map((result) => counted(Series.runs, { result: Series.resultOf[result] })),
    ...failures(events, steps),
    ...blackouts(report, steps),
    ...phases(report),
    ...carried(steps)
  ])
}
