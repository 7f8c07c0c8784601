/**
 * Where the time of a live update went, computed from its events.
 *
 * @since 0.1.0
 */
import type { Event, Step } from "./Event.ts"
import { type Bar, measure } from "./Measured.ts"
import * as Figures from "./report/Figures.ts"
import * as Strip from "./report/Strip.ts"
import { find, isPause, isStep, numberOf } from "./StepEvents.ts"

/**
 * The blackout of one VM, from the call that pauses it to the answer that it runs, and who spent it. In milliseconds; the
 * shares add up to the whole.
 *
 * @since 0.1.0
 * @category models
 */
export interface Blackout {
  readonly vm: string
  readonly total: number
  /** From the reboot call to the new kernel's first process. */
  readonly kernel: number
  /** Of a VMM that started beside us: all of it when it was the slower one, else what we waited for its first answer. */
  readonly vmmStart: number
  readonly stateSave: number
  readonly stateLoad: number
  /** The rest, when nothing but us was at work: pause, preserve, first process, start of ours, retrieve, resume. */
  readonly ours: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TimeLine {
  readonly run: string
  readonly from: string
  readonly to: string
  readonly bars: ReadonlyArray<Bar>
  readonly blackouts: ReadonlyArray<Blackout>
  /** How far `total` and `kernel` may be off, in milliseconds: the clocks of two kernels had to be joined. */
  readonly uncertainty: number
}

/** A VMM that has started and has nothing else to do answers within so many milliseconds, on an emulated host too. */
const AN_ANSWER_MS = 25

/**
 * The time line of a run whose VMs came through; `undefined` while it isn't complete.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (events: ReadonlyArray<Event>): TimeLine | undefined => {
  const { at, bars: all, uncertainty } = measure(events)
  const bars = all.filter(({ failed }) => failed !== true)
  const steps = events.filter(isStep)
  const boot = find(steps, "boot", "done")
  const jump = bars.find(({ step }) => step === "jump")
  const paused = steps.filter(isPause)
  if (boot === undefined || jump === undefined || paused.some((event) => at(event) === undefined)) return undefined

  /**
   * A VMM may start beside us. If we had to wait for it then, its start is what took the time, and ours lies in its shadow; if
   * it was there before us, it is the other way round.
   */
  const vmmStart = (vm: string, duration: number) => {
    const waited = numberOf(find(steps, "start-vmm", "done", vm)?.detail?.["waitedMs"])
    return waited === undefined || waited > AN_ANSWER_MS ? duration : Math.min(waited, duration)
  }

  const blackouts = paused.flatMap((event): ReadonlyArray<Blackout> => {
    const vm = event.vm
    const start = at(event)
    const resumed = vm === undefined ? undefined : find(steps, "resume", "done", vm)
    const end = resumed === undefined ? undefined : at(resumed)
    if (vm === undefined || start === undefined || end === undefined) return []
    const spent = (step: Step) => bars.findLast((bar) => bar.step === step && bar.vm === vm)?.duration ?? 0
    const total = end - start
    const shares = {
      kernel: jump.duration,
      vmmStart: vmmStart(vm, spent("start-vmm")),
      stateSave: spent("save-state"),
      stateLoad: spent("load-state")
    }
    const ours = total - shares.kernel - shares.vmmStart - shares.stateSave - shares.stateLoad
    return [{ vm, total, ...shares, ours }]
  })
  if (blackouts.length === 0) return undefined
  return {
    run: boot.run,
    from: String(boot.detail?.["from"] ?? "unknown"),
    to: String(boot.detail?.["to"] ?? "unknown"),
    bars,
    blackouts,
    uncertainty
  }
}

/**
 * The time line as text, for a terminal of any width over 72 columns.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (line: TimeLine): string => {
  const inside = line.bars.filter((bar) => bar.start + bar.duration > 0 || bar.start >= 0)
  const before = line.bars.filter((bar) => !inside.includes(bar))
  const end = Math.max(...inside.map((bar) => bar.start + bar.duration), 1)
  const width = 40
  const draw = ({ start, duration }: Bar) => Strip.bar(start, start + duration, end, width)
  const row = (bar: Bar, picture: string) =>
    `  ${`${bar.step}${bar.vm === undefined ? "" : ` ${bar.vm}`}`.padEnd(26)} ${picture} ${Figures.ms(bar.duration)}`
  const shares = line.blackouts.flatMap((blackout) => [
    `  ${blackout.vm}: blackout ${Figures.ms(blackout.total)} (${Figures.uncertainty(line)})`,
    `    ${Figures.shares.map(([share, name]) => `${name} ${Figures.ms(blackout[share])}`).join(" · ")}`
  ])
  return [
    `Kernel ${line.from} → ${line.to}   run ${line.run}`,
    "",
    "While the guests ran:",
    ...before.map((bar) => row(bar, "")),
    "",
    "From the pause on:",
    ...inside.map((bar) => row(bar, draw(bar))),
    "",
    ...shares
  ]
    .map((text) => text.trimEnd())
    .join("\n")
}
