/**
 * A run as it is reported: what was done when and by whom, for every VM across the jump. The format of
 * `agent report --format json`, and what the other formats are drawn from.
 *
 * Version 1. Times are milliseconds from `zero`. Fields and parts may be added; a reader ignores those it doesn't know.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { type Event, OutcomeEvent, Step } from "../Event.ts"
import * as Measured from "../Measured.ts"
import * as StepEvents from "../StepEvents.ts"
import * as TimeLine from "../TimeLine.ts"

/**
 * Who was at work: a kernel, the VMM, or the agent with whoever starts it.
 *
 * @since 0.1.0
 * @category models
 */
export const Who = Schema.Literal("kernel", "vmm", "ours")

/**
 * @since 0.1.0
 * @category models
 */
export type Who = typeof Who.Type

/**
 * A step, or a part of what lies between the kernels: `jump` is the old kernel's, `kernel-boot` the next one's until its first process,
 * `boot` from there to the agent's process, `start-agent` until its first step.
 *
 * @since 0.1.0
 * @category models
 */
export const Part = Schema.Literal(...Step.literals, "kernel-boot", "start-agent")

/**
 * @since 0.1.0
 * @category models
 */
export type Part = typeof Part.Type

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

/**
 * @since 0.1.0
 * @category models
 */
export const Bar = Schema.Struct({
  part: Part,
  who: Who,
  begin: Schema.Number,
  end: Schema.Number,
  /** It ended by failing. */
  failed: optional(Schema.Literal(true))
})

/**
 * @since 0.1.0
 * @category models
 */
export type Bar = typeof Bar.Type

/**
 * Who spent a blackout, in milliseconds; the shares add up to the whole (docs/blackout.md).
 *
 * @since 0.1.0
 * @category models
 */
export const Shares = Schema.Struct({
  kernel: Schema.Number,
  vmmStart: Schema.Number,
  stateSave: Schema.Number,
  stateLoad: Schema.Number,
  ours: Schema.Number
})

/**
 * How long a guest stood still. `end` is missing while it does, and when nobody was there to say; `shares` unless it came
 * through a jump.
 *
 * @since 0.1.0
 * @category models
 */
export const Blackout = Schema.Struct({ begin: Schema.Number, end: optional(Schema.Number), shares: optional(Shares) })

/**
 * @since 0.1.0
 * @category models
 */
export type Blackout = typeof Blackout.Type

/**
 * `bars`: its own, and those of the host that it stands still for.
 *
 * @since 0.1.0
 * @category models
 */
export const Vm = Schema.Struct({ id: Schema.String, bars: Schema.Array(Bar), blackout: optional(Blackout) })

/**
 * @since 0.1.0
 * @category models
 */
export type Vm = typeof Vm.Type

/**
 * @since 0.1.0
 * @category models
 */
export const Report = Schema.Struct({
  version: Schema.Literal(1),
  run: Schema.String,
  /** The kernels, where the run came so far as to say so. */
  from: optional(Schema.String),
  to: optional(Schema.String),
  result: Schema.Literal(...OutcomeEvent.fields.result.literals, "unfinished"),
  message: Schema.String,
  /** The first VM's pause; of a run without one, its first step. */
  zero: Schema.Literal("pause", "first-step"),
  /** How far moments on one kernel may be off against those on the other, in milliseconds. */
  uncertainty: Schema.Number,
  /** When the next kernel began. */
  nextKernel: optional(Schema.Number),
  host: Schema.Array(Bar),
  vms: Schema.Array(Vm)
})

/**
 * @since 0.1.0
 * @category models
 */
export type Report = typeof Report.Type

const whoDoes = (part: Part): Who => {
  switch (part) {
    case "jump":
    case "kernel-boot":
      return "kernel"
    case "save-state":
    case "start-vmm":
    case "load-state":
      return "vmm"
    default:
      return "ours"
  }
}

/** Events say microseconds. */
const rounded = (ms: number): number => Math.round(ms * 1000) / 1000

const bar = (part: Part, begin: number, end: number, failed?: true): Bar => ({
  part,
  who: whoDoes(part),
  begin: rounded(begin),
  end: rounded(end),
  ...(failed === undefined ? {} : { failed })
})

/** As they are measured, but for the jump: the next kernel's own part of it stands for itself. */
const barsOf = ({ bars, kernelStart }: Measured.Measured, vm: string | undefined): ReadonlyArray<Bar> =>
  bars
    .filter((measured) => measured.vm === vm)
    .flatMap(({ step, start, duration, failed }) => {
      const end = start + duration
      return step === "jump" && failed === undefined && kernelStart !== undefined && kernelStart < end
        ? [bar("jump", start, kernelStart), bar("kernel-boot", kernelStart, end)]
        : [bar(step, start, end, failed)]
    })

const betweenKernels: ReadonlyArray<Part> = ["jump", "kernel-boot", "boot", "start-agent"]

/** When a VM that was paused ran again: given back on the kernel it was paused on, or through a jump of which nobody has told the whole. */
const ranAgain = (steps: ReadonlyArray<StepEvents.StepEvent>, vm: string) =>
  StepEvents.find(steps, "pause", "undone", vm) ??
  StepEvents.find(steps, "recover", "done", vm) ??
  StepEvents.find(steps, "resume", "done", vm)

const blackoutOf = (
  vm: string,
  steps: ReadonlyArray<StepEvents.StepEvent>,
  { at }: Measured.Measured,
  line: TimeLine.TimeLine | undefined
): Blackout | undefined => {
  const paused = steps.find((event) => StepEvents.isPause(event) && event.vm === vm)
  const begin = paused === undefined ? undefined : at(paused)
  if (begin === undefined) return undefined
  const whole = line?.blackouts.find((blackout) => blackout.vm === vm)
  if (whole !== undefined) {
    const { kernel, ours, stateLoad, stateSave, total, vmmStart } = whole
    return {
      begin: rounded(begin),
      end: rounded(begin + total),
      shares: {
        kernel: rounded(kernel),
        vmmStart: rounded(vmmStart),
        stateSave: rounded(stateSave),
        stateLoad: rounded(stateLoad),
        ours: rounded(ours)
      }
    }
  }
  const back = ranAgain(steps, vm)
  const end = back === undefined ? undefined : at(back)
  return { begin: rounded(begin), ...(end === undefined ? {} : { end: rounded(end) }) }
}

const preflightOf = (steps: ReadonlyArray<StepEvents.StepEvent>) => {
  const detail = StepEvents.find(steps, "preflight", "done")?.detail
  const text = (name: string) => (typeof detail?.[name] === "string" ? { [name]: detail[name] } : {})
  return { kernels: { ...text("from"), ...text("to") }, vms: Array.isArray(detail?.["vms"]) ? detail["vms"] : [] }
}

/**
 * The report of a run, from its events.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (run: string, events: ReadonlyArray<Event>): Report => {
  const measured = Measured.measure(events)
  const line = TimeLine.make(events)
  const steps = events.filter(StepEvents.isStep)
  const outcome = events.findLast((event) => event.type === "outcome")
  const { kernels, vms } = preflightOf(steps)
  const host = barsOf(measured, undefined)
  const across = host.filter(({ part, failed }) => betweenKernels.includes(part) && failed === undefined)
  const ids = new Set([...vms.map(String), ...steps.flatMap(({ vm }) => vm ?? [])])
  return {
    version: 1,
    run,
    ...kernels,
    ...(line === undefined ? {} : { from: line.from, to: line.to }),
    result: outcome?.result ?? "unfinished",
    message: outcome?.message ?? "It has no outcome yet. If no agent is running, run: agent resume",
    zero: measured.paused ? "pause" : "first-step",
    uncertainty: rounded(measured.uncertainty),
    ...(measured.kernelStart === undefined ? {} : { nextKernel: rounded(measured.kernelStart) }),
    host,
    vms: [...ids].map((id): Vm => {
      const blackout = blackoutOf(id, steps, measured, line)
      const bars = [...barsOf(measured, id), ...(blackout === undefined ? [] : across)]
      return {
        id,
        bars: bars.sort((a, b) => a.begin - b.begin),
        ...(blackout === undefined ? {} : { blackout })
      }
    })
  }
}
