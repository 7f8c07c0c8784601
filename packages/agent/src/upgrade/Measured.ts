/**
 * The bars of a run's time line, measured from its events as far as they go.
 *
 * @since 0.1.0
 */
import type { Event, Step } from "./Event.ts"
import { find, isPause, isStep, numberOf, type StepEvent } from "./StepEvents.ts"
import * as TimeAxis from "./TimeAxis.ts"

/**
 * One bar: a step of a VM or of the host, on the axis whose zero is the moment the first VM began to pause.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bar {
  /** `jump` is the kernel's, `boot` from its first process to ours, `start-agent` from there to the first step of ours. */
  readonly step: Step | "start-agent"
  readonly vm?: string
  /** Milliseconds; negative before the pause. */
  readonly start: number
  /** Milliseconds. */
  readonly duration: number
  /** It ended by failing. */
  readonly failed?: true
}

/**
 * What the events of a run say of its time, whether the run went through or not.
 *
 * @since 0.1.0
 * @category models
 */
export interface Measured {
  /** Milliseconds from the axis' zero; `undefined` where the clocks don't reach. */
  readonly at: (moment: Pick<Event, "boot" | "monotonic">) => number | undefined
  /** The zero is the moment the first VM began to pause; if none did, that of the first event. */
  readonly paused: boolean
  /** Of every step that ended, and of what lies between the kernels; in the order in which they began. */
  readonly bars: ReadonlyArray<Bar>
  /** When the next kernel's log begins: before, within `jump`, the old kernel went and the next was unpacked. */
  readonly kernelStart?: number
  readonly uncertainty: number
}

/** Each end with the beginning before it. */
const barsOf = (steps: ReadonlyArray<StepEvent>, at: Measured["at"]): ReadonlyArray<Bar> => {
  const begun = new Map<string, StepEvent>()
  return steps.flatMap((event): ReadonlyArray<Bar> => {
    const { status, step, vm } = event
    const key = JSON.stringify([step, vm])
    if (status === "started") begun.set(key, event)
    const beginning = begun.get(key)
    if (beginning === undefined || (status !== "done" && status !== "failed") || step === "boot") return []
    const [start, end] = [at(beginning), at(event)]
    if (start === undefined || end === undefined) return []
    const about = { step, ...(vm === undefined ? {} : { vm }), start, duration: end - start }
    return [status === "failed" ? { ...about, failed: true } : about]
  })
}

/** From the reboot call to the second half's first step. */
const betweenKernels = (
  steps: ReadonlyArray<StepEvent>,
  at: Measured["at"]
): { readonly bars: ReadonlyArray<Bar>; readonly kernelStart?: number } => {
  const [jump, boot] = [find(steps, "jump", "started"), find(steps, "boot", "done")]
  const jumped = jump === undefined ? undefined : at(jump)
  if (boot === undefined || jumped === undefined) return { bars: [] }
  const onNext = (detail: string) => {
    const monotonic = numberOf(boot.detail?.[detail])
    return monotonic === undefined ? undefined : at({ boot: boot.boot, monotonic })
  }
  const [userSpace, ourProcess] = [onNext("firstProcess"), onNext("agentStarted")]
  const kernelStart = at({ boot: boot.boot, monotonic: TimeAxis.firstLineOf(boot) })
  const jumpBar: Bar = { step: "jump", start: jumped, duration: (userSpace ?? jumped) - jumped }
  const firstStep = Math.min(
    ...steps.flatMap((event) => (event.step === "retrieve" ? [at(event) ?? Number.POSITIVE_INFINITY] : []))
  )
  return {
    bars:
      userSpace === undefined || ourProcess === undefined || !Number.isFinite(firstStep)
        ? [jumpBar]
        : [
            jumpBar,
            { step: "boot", start: userSpace, duration: ourProcess - userSpace },
            { step: "start-agent", start: ourProcess, duration: firstStep - ourProcess }
          ],
    ...(kernelStart === undefined ? {} : { kernelStart })
  }
}

/**
 * Measures a run, whole or not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const measure = (events: ReadonlyArray<Event>): Measured => {
  const axis = TimeAxis.make(events)
  const steps = events.filter(isStep)
  const pauses = steps.filter(isPause)
  const zero = Math.min(...(pauses.length > 0 ? pauses : steps).flatMap((event) => axis.at(event) ?? []))
  const at: Measured["at"] = (moment) => {
    const time = axis.at(moment)
    return time === undefined ? undefined : time - zero
  }
  const { bars, ...between } = betweenKernels(steps, at)
  return {
    at,
    paused: pauses.length > 0,
    bars: [...barsOf(steps, at), ...bars].sort((a, b) => a.start - b.start),
    ...between,
    uncertainty: axis.uncertainty
  }
}
