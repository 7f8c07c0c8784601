import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { publish, trace } from "../../src/cli/MetricsCommands.ts"
import * as Configuration from "../../src/config/Configuration.ts"
import * as Effective from "../../src/config/Effective.ts"
import * as RunTrace from "../../src/traces/RunTrace.ts"
import type * as Event from "../../src/upgrade/Event.ts"
import * as Report from "../../src/upgrade/report/Report.ts"
import * as Traceparent from "../../src/upgrade/Traceparent.ts"
import * as Unpublished from "../../src/upgrade/Unpublished.ts"
import * as Hosts from "../metrics/hosts.ts"
import { event, rolledBack, threeVms } from "../report/runs.ts"
import * as Temporary from "../Temporary.ts"
import * as Collector from "./Collector.ts"

const run = "20261127T201520Z-77"
const host = { version: "0.1.0", name: "host-1", id: "0123" }
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
const caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01"

/** The recorded run, as one that tells of its trace, in both halves. */
const traced = threeVms.map((event): Event.Event => {
  if (event.type !== "step" || event.status !== "done") return event
  if (event.step === "preflight") return { ...event, detail: { ...event.detail, traceparent, caller } }
  return event.step === "boot" ? { ...event, detail: { ...event.detail, traceparent } } : event
})

const made = (events: ReadonlyArray<Event.Event>) => RunTrace.make(run, events, host) ?? assert.fail("no trace")

const check = Collector.assertWhole

const named = (spans: ReturnType<typeof Collector.spansOf>, name: string, vm?: string) =>
  spans.filter(
    ({ span }) =>
      span.name === name && (vm === undefined || Collector.attributes(span.attributes)["liveupdate.vm.id"] === vm)
  )

describe("the trace of a live update", () => {
  it("both halves are one trace, whose root is what the manifest says, and a part of the caller's", () => {
    const { spans } = check(made(traced))
    const { traceId, spanId } = Traceparent.parse(traceparent) ?? assert.fail()
    const [root] = named(spans, "live update")
    assert.deepStrictEqual(
      [root?.span.traceId, root?.span.spanId, root?.span.parentSpanId],
      [traceId, spanId, Traceparent.parse(caller)?.spanId]
    )
    const kernels = new Map(
      ["pause", "jump", "kernel-boot", "retrieve", "resume"].map((name) => [
        name,
        named(spans, name)[0]?.resource["liveupdate.kernel.release"]
      ])
    )
    assert.deepStrictEqual(
      [...kernels.values()],
      ["7.3.4-host-a", "7.3.4-host-a", "7.3.4-host-b", "7.3.4-host-b", "7.3.4-host-b"]
    )
    assert.lengthOf([...new Set(spans.map(({ resource }) => resource["service.instance.id"]))], 2)
    assert.strictEqual(root?.resource["host.name"], "host-1")
  })

  it("every bar of the report is a span of its VM or of the run, as long as it is there", () => {
    const { spans, byId } = check(made(traced))
    const report = Report.make(run, traced)
    const parentOf = (id: string | undefined) => byId.get(id ?? "")?.name
    for (const { id, blackout } of report.vms) {
      assert.deepStrictEqual(
        ["pause", "save-state", "load-state", "resume", "preserve-running", "verify", "finish"].map((name) =>
          parentOf(named(spans, name, id)[0]?.span.parentSpanId)
        ),
        ["blackout", "blackout", "blackout", "blackout", "vm", "vm", "vm"]
      )
      const [dark] = named(spans, "blackout", id)
      const length = Number(BigInt(dark?.span.endTimeUnixNano ?? 0) - BigInt(dark?.span.startTimeUnixNano ?? 0)) / 1e6
      assert.approximately(length, (blackout?.end ?? 0) - (blackout?.begin ?? 0), 0.01)
    }
    for (const { part, begin, end } of report.host) {
      const found = named(spans, part).some(({ span }) => {
        const length = Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6
        return parentOf(span.parentSpanId) === "live update" && Math.abs(length - (end - begin)) < 0.01
      })
      assert.isTrue(found, part)
    }
    const start = (name: string) => BigInt(named(spans, name)[0]?.span.startTimeUnixNano ?? 0)
    const order = ["load-kernel", "pause", "jump", "kernel-boot", "retrieve", "resume", "finish"].map(start)
    for (const [index, time] of order.entries()) assert.isTrue(index === 0 || time >= (order[index - 1] ?? 0n))
    // By the clock on the wall: the run's name says when it began.
    assert.approximately(Number(order[0]) / 1e6, Date.UTC(2026, 10, 27, 20, 15, 20), 60_000)
  })

  it("is the same when it is told twice, and its ids don't change while the run goes on", () => {
    assert.deepStrictEqual(made(traced), made(traced))
    const early = Collector.spansOf(made(traced.slice(0, 40)))
    const late = new Set(Collector.spansOf(made(traced)).map(({ span }) => span.spanId))
    for (const { span } of early) assert.isTrue(late.has(span.spanId), span.name)
  })

  it("one that was undone: which step failed, and with what; its clock is its name's", () => {
    const detail = { reason: "no room", error: "VmmTransferFailed", operation: "migrate", errno: "ENOSPC" }
    const events = rolledBack().map(
      (event): Event.Event =>
        event.type === "step" && event.status === "failed"
          ? { ...event, detail }
          : event.type === "outcome"
            ? { ...event, detail: { phase: "save-state", ...detail } }
            : event
    )
    const { spans } = check(made(events))
    const [failed] = named(spans, "save-state", "a")
    assert.deepStrictEqual(failed?.span.status, { code: 2, message: "no room" })
    assert.deepInclude(Collector.attributes(failed?.span.attributes ?? []), {
      "error.type": "VmmTransferFailed",
      "liveupdate.operation": "migrate",
      "liveupdate.errno": "ENOSPC"
    })
    const [root] = named(spans, "live update")
    assert.strictEqual(root?.span.status.code, 2)
    assert.strictEqual(Collector.attributes(root?.span.attributes ?? [])["error.type"], "VmmTransferFailed")
    assert.strictEqual(root?.span.startTimeUnixNano, String(BigInt(Date.UTC(2026, 10, 27, 20, 15, 20)) * 1_000_000n))
    assert.strictEqual(named(spans, "pause", "a")[0]?.span.status.code, 1)
  })

  it("a run that said nothing has none; a second half whose first half's log is lost is of the run's trace", () => {
    assert.isUndefined(RunTrace.make(run, [], host))
    const second = traced.filter(({ boot }) => boot !== traced[0]?.boot)
    assert.strictEqual(Collector.spansOf(made(second))[0]?.span.traceId, Traceparent.parse(traceparent)?.traceId)
  })
})

describe("Traceparent", () => {
  it.effect("a new run has a trace of its own, or is a part of its caller's", () =>
    Effect.gen(function* () {
      const alone = yield* Traceparent.begin()
      const other = yield* Traceparent.begin("not one")
      assert.isUndefined(other.caller)
      const ids = [alone, other].map((one) => Traceparent.parse(one.traceparent) ?? assert.fail(one.traceparent))
      assert.notStrictEqual(ids[0]?.traceId, ids[1]?.traceId)
      const within = yield* Traceparent.begin(`${caller}\n`)
      assert.strictEqual(within.caller, caller)
      assert.match(within.traceparent, /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/)
    })
  )

  it("what is none", () => {
    for (const text of [
      "",
      traceparent.toUpperCase(),
      traceparent.replace("00-", "ff-"),
      `${traceparent}-more`,
      `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
      `00-4bf92f3577b34da6a3ce929d0e0e4736-${"0".repeat(16)}-01`
    ])
      assert.isUndefined(Traceparent.parse(text), text)
    assert.isDefined(Traceparent.parse(`${traceparent.replace("00-", "01-")}-more`))
  })
})

const configured = (more: { readonly textfile?: string; readonly endpoint?: string }) => ({
  metrics: { ...Effective.defaults.metrics, textfile: more.textfile ?? Configuration.NONE },
  traces: { endpoint: more.endpoint ?? Configuration.NONE }
})

describe("telling a collector", () => {
  it.scopedLive("agent trace --endpoint: OTLP over HTTP", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const { endpoint, received } = yield* Collector.start()
      yield* trace(Option.some(Hosts.succeeded.run), Option.some(`${endpoint}/`), runs)
      assert.lengthOf(received, 1)
      assert.deepInclude(received[0], { url: "/v1/traces", contentType: "application/json" })
      check(received[0]?.data ?? assert.fail())
    })
  )

  it.scopedLive("a collector that takes a part only, or nothing, is an error that says so", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const refusing = yield* Collector.start(() => ({
        status: 200,
        body: '{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}'
      }))
      const last = Option.none<string>()
      const partial = yield* Effect.flip(trace(last, Option.some(refusing.endpoint), runs))
      assert.include(partial.message, "3 spans were refused: too old")
      const wrong = yield* Collector.start(() => ({ status: 400, body: "" }))
      assert.include((yield* Effect.flip(trace(last, Option.some(wrong.endpoint), runs))).message, "400")
      const nobody = yield* Effect.flip(trace(last, Option.some("http://127.0.0.1:1"), runs))
      assert.match(nobody.message, /ECONNREFUSED.*Is a collector there/)
    })
  )

  it.scopedLive("agent publish: each run once; one that isn't taken waits, and nothing else waits for it", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const directory = yield* Temporary.directory
      const directories = { runs, unpublished: `${directory}/unpublished` }
      let status = 503
      const { endpoint, received } = yield* Collector.start(() => ({ status, body: "{}" }))
      const textfile = `${directory}/liveupdate.prom`
      yield* Unpublished.want(true, directories.unpublished)
      const told = Unpublished.watch(() => undefined, directories.unpublished)
      for (const name of [Hosts.succeeded.run, Hosts.undone.run])
        told.listener({ ...event("b", 1, { type: "outcome", result: "upgraded", message: "" }), run: name })
      yield* told.note
      const configuration = configured({ textfile, endpoint })
      const error = yield* Effect.flip(publish(configuration, directories))
      assert.include(error.message, "503")
      assert.lengthOf(yield* Unpublished.list(directories.unpublished), 2)
      const { readFileSync } = yield* Effect.promise(() => import("node:fs"))
      assert.include(readFileSync(textfile, "utf8"), 'liveupdate_runs_total{result="succeeded"} 1\n')
      status = 200
      received.length = 0
      yield* publish(configuration, directories)
      yield* publish(configuration, directories)
      assert.lengthOf(received, 2)
      assert.deepStrictEqual(yield* Unpublished.list(directories.unpublished), [])
    }).pipe(Effect.provide(Hosts.layer))
  )

  it.scopedLive("nobody is to be told: no run waits, but for one from before", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const unpublished = `${yield* Temporary.directory}/unpublished`
      const told = Unpublished.watch(() => undefined, unpublished)
      told.listener({ ...event("b", 1, { type: "outcome", result: "upgraded", message: "" }), run: Hosts.undone.run })
      yield* told.note
      assert.deepStrictEqual(yield* Unpublished.list(unpublished), [])
      yield* Unpublished.want(true, unpublished)
      yield* told.note
      yield* Unpublished.want(false, unpublished)
      assert.deepStrictEqual(yield* publish(configured({}), { runs, unpublished }), [Hosts.undone.run])
      assert.deepStrictEqual(yield* Unpublished.list(unpublished), [])
      yield* Unpublished.want(false, unpublished)
      yield* told.note
      assert.deepStrictEqual(yield* publish(configured({}), { runs, unpublished }), [])
    }).pipe(Effect.provide(Hosts.layer))
  )
})
