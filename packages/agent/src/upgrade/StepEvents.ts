/**
 * The steps among a run's events.
 *
 * @since 0.1.0
 */
import type { Event, Step } from "./Event.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type StepEvent = Extract<Event, { type: "step" }>

/**
 * @since 0.1.0
 * @category guards
 */
export const isStep = (event: Event): event is StepEvent => event.type === "step"

/**
 * @since 0.1.0
 * @category guards
 */
export const isPause = ({ step, status }: StepEvent) => step === "pause" && status === "started"

/**
 * A step's last event: one that failed and was tried again counts with the try that worked.
 *
 * @since 0.1.0
 * @category accessors
 */
export const find = (steps: ReadonlyArray<StepEvent>, step: Step, status: StepEvent["status"], vm?: string) =>
  steps.findLast((event) => event.step === step && event.status === status && event.vm === vm)

/**
 * A detail that is a number.
 *
 * @since 0.1.0
 * @category accessors
 */
export const numberOf = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined)
