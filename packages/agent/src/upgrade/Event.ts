/**
 * What happens during a live update, one line each: the format of `--output ndjson` and of the log that the two halves of
 * a run share.
 *
 * Version 1. Times are CLOCK_MONOTONIC of the boot named in `boot`, in milliseconds; a `clock` event gives the offset that
 * joins the axes of the two kernels. Fields may be added; a reader ignores those it doesn't know.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The steps of a live update in their order; the jump lies between `jump` and `boot`.
 *
 * @since 0.1.0
 * @category models
 */
export const Step = Schema.Literal(
  "preflight",
  "load-kernel",
  "prepare",
  "preserve-running",
  "sync",
  "pause",
  "save-state",
  "preserve-state",
  "jump",
  "boot",
  "retrieve",
  "start-vmm",
  "load-state",
  "resume",
  "verify",
  "finish",
  "recover",
  "hook"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Step = typeof Step.Type

const common = {
  version: Schema.Literal(1),
  run: Schema.String,
  /** /proc/sys/kernel/random/boot_id */
  boot: Schema.String,
  /** Milliseconds of that boot's CLOCK_MONOTONIC. */
  monotonic: Schema.Number
}

const Detail = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/**
 * A step of one VM, or of the host where `vm` is missing, began or ended.
 *
 * @since 0.1.0
 * @category models
 */
export const StepEvent = Schema.Struct({
  ...common,
  type: Schema.Literal("step"),
  step: Step,
  status: Schema.Literal("started", "done", "failed", "undone"),
  vm: Schema.optionalWith(Schema.String, { exact: true }),
  detail: Schema.optionalWith(Detail, { exact: true })
})

/**
 * Where a boot's monotonic clock lies on the real-time clock, which a kexec doesn't touch.
 *
 * @since 0.1.0
 * @category models
 */
export const ClockEvent = Schema.Struct({
  ...common,
  type: Schema.Literal("clock"),
  /** Real-time clock minus CLOCK_MONOTONIC, milliseconds. */
  offset: Schema.Number,
  /** How far the offset may be off, milliseconds. */
  uncertainty: Schema.Number
})

/**
 * How a run can end.
 *
 * @since 0.1.0
 * @category models
 */
export const Result = Schema.Literal("upgraded", "rolled-back", "dry-run", "needs-operator", "cold-boot", "lost")

/**
 * @since 0.1.0
 * @category models
 */
export type Result = typeof Result.Type

/**
 * The end of a run, one way or another; the last event of its log.
 *
 * @since 0.1.0
 * @category models
 */
export const OutcomeEvent = Schema.Struct({
  ...common,
  type: Schema.Literal("outcome"),
  result: Result,
  message: Schema.String,
  detail: Schema.optionalWith(Detail, { exact: true })
})

/**
 * @since 0.1.0
 * @category models
 */
export const Event = Schema.Union(StepEvent, ClockEvent, OutcomeEvent)

/**
 * @since 0.1.0
 * @category models
 */
export type Event = typeof Event.Type

/**
 * Reads one line of a log or of `--output ndjson`; `undefined` for a line that isn't a whole event, such as one torn by a
 * power cut.
 *
 * @since 0.1.0
 * @category codecs
 */
export const parse = (line: string): Event | undefined => {
  try {
    const result = decode(JSON.parse(line))
    return result._tag === "Some" ? result.value : undefined
  } catch {
    return undefined
  }
}

/**
 * The events among these lines, in order.
 *
 * @since 0.1.0
 * @category codecs
 */
export const parseLines = (lines: ReadonlyArray<string>): ReadonlyArray<Event> =>
  lines.flatMap((line) => parse(line) ?? [])

const decode = Schema.decodeUnknownOption(Event)
