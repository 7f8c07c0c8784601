/**
 * Sends traces to whoever collects them: OTLP over HTTP, in JSON.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as RunTrace from "./RunTrace.ts"

/**
 * The collector is not there, or doesn't want it.
 *
 * @since 0.1.0
 * @category errors
 */
export class ExportFailed extends Data.TaggedError("ExportFailed")<{
  readonly url: string
  readonly reason: string
}> {
  override get message(): string {
    return `The trace was not taken by ${this.url}: ${this.reason}. Is a collector there that takes OTLP over HTTP (port 4318)?`
  }
}

/** The collector may have taken a part only (`opentelemetry/proto/collector/trace/v1/trace_service.proto`). */
const Answer = Schema.Struct({
  partialSuccess: Schema.optionalWith(
    Schema.Struct({
      rejectedSpans: Schema.optionalWith(Schema.Union(Schema.Number, Schema.NumberFromString), { default: () => 0 }),
      errorMessage: Schema.optionalWith(Schema.String, { default: () => "" })
    }),
    { nullable: true }
  )
})

/** What an endpoint stands for: `OTEL_EXPORTER_OTLP_ENDPOINT` means the same. */
const urlOf = (endpoint: string): string => `${endpoint.replace(/\/+$/, "")}/v1/traces`

const PATIENCE = Duration.seconds(10)

/**
 * Sends one. What may go away by itself is tried again a few times. Fails with `ExportFailed`.
 *
 * @since 0.1.0
 * @category operations
 */
export const send = Effect.fn("Export.send")(function* (endpoint: string, data: RunTrace.TracesData) {
  const url = urlOf(endpoint)
  const failed = (reason: string) => new ExportFailed({ url, reason })
  const client = HttpClient.retryTransient(HttpClient.filterStatusOk(yield* HttpClient.HttpClient), {
    schedule: Schedule.exponential("200 millis"),
    times: 3
  })
  const answer = yield* client.execute(HttpClientRequest.bodyUnsafeJson(HttpClientRequest.post(url), data)).pipe(
    Effect.timeout(PATIENCE),
    Effect.flatMap((response) => response.text),
    Effect.mapError((error) => failed(reasonOf(error))),
    Effect.scoped,
    // It would ask to be traced itself.
    Effect.withTracerEnabled(false)
  )
  const { partialSuccess } = yield* Schema.decodeUnknown(Schema.parseJson(Answer))(answer === "" ? "{}" : answer).pipe(
    Effect.mapError(() => failed("its answer is not understood"))
  )
  if ((partialSuccess?.rejectedSpans ?? 0) > 0)
    return yield* failed(`${partialSuccess?.rejectedSpans} spans were refused: ${partialSuccess?.errorMessage}`)
})

/** The innermost cause is what a person can do something about. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message
}
