/**
 * Which trace a live update belongs to, as W3C Trace Context writes it: `00-TRACE-SPAN-FLAGS`. It is told by the first event of a run and
 * goes through the handover, so that both halves are parts of one trace. Nothing of OpenTelemetry is needed for that.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/**
 * A span in its trace.
 *
 * @since 0.1.0
 * @category models
 */
export interface SpanContext {
  /** 32 hexadecimal digits, not all of them 0. */
  readonly traceId: string
  /** 16 of them. */
  readonly spanId: string
}

/**
 * What a run tells of its trace.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunTrace {
  /** Of the span that the whole run is. */
  readonly traceparent: string
  /** Of the span that it is a part of, where somebody has one. */
  readonly caller?: string
}

const isZero = (digits: string): boolean => /^0+$/.test(digits)

/**
 * Reads one; `undefined` for what is none. Fields that a later version adds are skipped, as the specification asks.
 *
 * @since 0.1.0
 * @category codecs
 */
export const parse = (text: string): SpanContext | undefined => {
  const [, version, traceId, spanId, more] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/.exec(text.trim()) ?? []
  if (traceId === undefined || spanId === undefined || version === "ff") return undefined
  return isZero(traceId) || isZero(spanId) || (version === "00" && more !== undefined) ? undefined : { traceId, spanId }
}

/**
 * Of a span that is recorded.
 *
 * @since 0.1.0
 * @category codecs
 */
export const format = ({ traceId, spanId }: SpanContext): string => `00-${traceId}-${spanId}-01`

const digits = (count: number): Effect.Effect<string> =>
  Effect.map(Effect.replicateEffect(Random.nextIntBetween(0, 16), count), (numbers) =>
    numbers.map((number) => number.toString(16)).join("")
  )

/**
 * For a new run: a span of the caller's trace if `caller` is one (`TRACEPARENT` of whoever starts the agent), else of a new trace.
 *
 * @since 0.1.0
 * @category constructors
 */
export const begin = (caller?: string): Effect.Effect<RunTrace> =>
  Effect.gen(function* () {
    const outer = caller === undefined ? undefined : parse(caller)
    const spanId = yield* digits(16)
    const traceparent = format({ traceId: outer?.traceId ?? (yield* digits(32)), spanId })
    return { traceparent, ...(outer === undefined ? {} : { caller: format(outer) }) }
  })
