import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as RunTrace from "../../src/traces/RunTrace.ts"

/** What a collector heard of one request. */
export interface Received {
  readonly url: string | undefined
  readonly contentType: string | undefined
  readonly data: RunTrace.TracesData
}

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString()
}

/** Takes OTLP over HTTP; what `answer` says to each request, 200 and nothing unless told. */
export const start = (
  answer: () => { readonly status: number; readonly body: string } = () => ({ status: 200, body: "{}" })
) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly server: ReturnType<typeof createServer>; readonly received: Array<Received> }>(
        (resume) => {
          const received: Array<Received> = []
          const server = createServer((request, response) => {
            void bodyOf(request).then((body) => {
              received.push({
                url: request.url,
                contentType: request.headers["content-type"],
                data: JSON.parse(body) as RunTrace.TracesData
              })
              const { status, body: said } = answer()
              response.writeHead(status, { "content-type": "application/json" }).end(said)
            })
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, received })))
        }
      ),
      ({ server }) =>
        Effect.async<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
    ),
    ({ server, received }) => ({ received, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
  )

export const spansOf = ({ resourceSpans }: RunTrace.TracesData) =>
  resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) => spans.map((span) => ({ span, resource: attributes(resource.attributes) })))
  )

export const attributes = (
  list: ReadonlyArray<{ readonly key: string; readonly value: object }>
): Readonly<Record<string, unknown>> => Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]))

/** One trace, one root, ids that are each there once, every span within its parent. */
export const assertWhole = (data: RunTrace.TracesData) => {
  const spans = spansOf(data)
  const byId = new Map(spans.map(({ span }) => [span.spanId, span]))
  assert.strictEqual(byId.size, spans.length, "ids are each there once")
  assert.lengthOf([...new Set(spans.map(({ span }) => span.traceId))], 1)
  const roots = spans.filter(({ span }) => span.parentSpanId === undefined || !byId.has(span.parentSpanId))
  assert.deepStrictEqual(
    roots.map(({ span }) => span.name),
    ["live update"]
  )
  for (const { span } of spans) {
    assert.match(span.traceId, /^[0-9a-f]{32}$/)
    assert.match(span.spanId, /^[0-9a-f]{16}$/)
    assert.isTrue(BigInt(span.startTimeUnixNano) <= BigInt(span.endTimeUnixNano), span.name)
    const parent = byId.get(span.parentSpanId ?? "")
    if (parent === undefined) continue
    assert.isTrue(BigInt(parent.startTimeUnixNano) <= BigInt(span.startTimeUnixNano), `${span.name} in ${parent.name}`)
    assert.isTrue(BigInt(parent.endTimeUnixNano) >= BigInt(span.endTimeUnixNano), `${span.name} in ${parent.name}`)
  }
  return { spans, byId }
}
