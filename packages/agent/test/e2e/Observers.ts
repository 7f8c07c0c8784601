/**
 * Who is told of a host's live updates: node-exporter reads a textfile, a collector is sent traces, Prometheus scrapes.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ListenAddress from "../../src/metrics/ListenAddress.ts"
import * as Server from "../../src/metrics/Server.ts"
import type * as RunTrace from "../../src/traces/RunTrace.ts"
import type * as Event from "../../src/upgrade/Event.ts"
import * as StepEvents from "../../src/upgrade/StepEvents.ts"
import * as Traceparent from "../../src/upgrade/Traceparent.ts"
import { samplesOf } from "../metrics/hosts.ts"
import * as Prometheus from "../prometheus/Prometheus.ts"
import * as Sane from "../prometheus/Sane.ts"
import * as Collector from "../traces/Collector.ts"
import * as ProgramBundle from "./ProgramBundle.ts"
import * as SystemdHost from "./SystemdHost.ts"
import * as TestHost from "./TestHost.ts"

const textfile = "/var/lib/prometheus/node-exporter/liveupdate.prom"
const requests = "/var/lib/e2e/traces"
const agent = "/usr/bin/agent"
const program = ProgramBundle.inside("collector")

const configuration = `[metrics]
textfile = "${textfile}"
[traces]
endpoint = "http://127.0.0.1:4318"
`

const collectorUnit = `[Unit]
Description=A collector of traces
[Service]
ExecStart=/usr/lib/liveupdate/node ${program} ${requests}
[Install]
WantedBy=multi-user.target
`

export const prepare = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  // As Debian's package prometheus-node-exporter has it: another user's.
  yield* host.output("install", "-d", "-o", "65534", "/var/lib/prometheus/node-exporter")
  yield* host.output("mkdir", "-p", "/etc/liveupdate", "/var/lib/e2e")
  yield* host.write("/etc/liveupdate/agent.toml", configuration)
  yield* host.write(program, yield* ProgramBundle.make(new URL("programs/collector.ts", import.meta.url)))
  yield* host.write("/etc/systemd/system/collector.service", collectorUnit)
  yield* host.output("systemctl", "daemon-reload")
  yield* host.output("systemctl", "enable", "--now", "collector.service")
  const units = ["liveupdate-publish.path", "liveupdate-publish.service", "liveupdate-metrics.service"]
  const { stderr } = yield* host.inside("systemd-analyze", "verify", "--man=no", ...units)
  assert.notMatch(stderr, /liveupdate-(publish|metrics)/)
})

/** Waits until no run waits to be told of. */
export const published = Effect.flatMap(TestHost.TestHost, (host) =>
  host.output(
    "timeout",
    "120",
    "sh",
    "-c",
    'until [ -z "$(ls -A /var/lib/liveupdate/unpublished)" ] && ! systemctl -q is-active liveupdate-publish.service; do sleep 0.1; done'
  )
)

const stateOf = (text: string) => new Map([...samplesOf(text)].filter(([name]) => /_total|_bucket|_count/.test(name)))

/** The textfile and the traces of a run that went through, after one that was rolled back. */
export const assertTold = (events: ReadonlyArray<Event.Event>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    yield* published
    // Nothing of it began before the guest ran, and the half that brought it back was done.
    const journal = ["journalctl", "-b", "-q", "-o", "json", "-u", "liveupdate-publish.service"] as const
    const [first = ""] = (yield* host.output(...journal)).split("\n")
    const began = Number((JSON.parse(first) as Readonly<Record<string, string>>)["__MONOTONIC_TIMESTAMP"]) / 1000
    const steps = events.filter(StepEvents.isStep)
    const outcome = events.at(-1) ?? assert.fail("no outcome")
    const resumed = StepEvents.find(steps, "resume", "done", SystemdHost.vm) ?? assert.fail("no resume")
    assert.isAbove(outcome.monotonic, resumed.monotonic)
    assert.isAbove(began, outcome.monotonic)

    assert.strictEqual(yield* host.output("stat", "-c", "%a %U", textfile), "644 root")
    const [written, now] = [yield* host.output("cat", textfile), yield* host.output(agent, "metrics")]
    assert.deepStrictEqual(stateOf(written), stateOf(now))

    const traces = (yield* host.output("cat", requests))
      .split("\n")
      .map((line) => Collector.assertWhole(JSON.parse(line) as RunTrace.TracesData))
    assert.lengthOf(traces, 2)
    const [undone, through] = traces
    const rootOf = (trace: typeof undone) => trace?.spans.find(({ span }) => span.name === "live update")?.span
    assert.strictEqual(rootOf(undone)?.status.code, 2)
    const told = ["preflight", "boot"].map((step) => {
      const detail = steps.find((event) => event.step === step && event.status === "done")?.detail
      return Traceparent.parse(String(detail?.["traceparent"]))
    })
    assert.isDefined(told[0])
    assert.deepStrictEqual(told[1], told[0], "the trace went through the handover")
    const root = rootOf(through) ?? assert.fail("no root")
    assert.deepStrictEqual({ traceId: root.traceId, spanId: root.spanId }, told[0])
    assert.strictEqual(root.status.code, 1)
    const halves = new Set(through?.spans.map(({ resource }) => resource["service.instance.id"]))
    assert.deepStrictEqual(halves, new Set(events.map(({ boot }) => boot)))
  })

/** What the service says is scraped by the real Prometheus, outside. */
export const assertMetrics = ({ before }: { readonly before: string }) =>
  Effect.scoped(
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.output("systemctl", "start", "liveupdate-metrics.service")
      const text = yield* host.output(
        "/usr/lib/liveupdate/node",
        "-e",
        'fetch("http://127.0.0.1:9842/metrics").then(async (answer) => process.stdout.write(await answer.text()))'
      )
      yield* host.output("systemctl", "stop", "liveupdate-metrics.service")
      const result = yield* host.output(
        "systemctl",
        "show",
        "--property=Result",
        "--value",
        "liveupdate-metrics.service"
      )
      assert.strictEqual(result, "success")
      assert.deepStrictEqual(stateOf(text), stateOf(yield* host.output(agent, "metrics")))

      const address = yield* Server.serve({ host: "127.0.0.1", port: 0 }, Effect.succeed(`${text}\n`))
      const prometheus = yield* Prometheus.scraping(ListenAddress.format(address))
      yield* Sane.everySeries(prometheus)
      yield* Sane.values(prometheus, { carried: 1, pausedInVain: 1, way: "systemd" })
      const one = (expression: string) =>
        Effect.map(prometheus.query(expression), (samples) => {
          assert.lengthOf(samples, 1, expression)
          return samples[0] ?? assert.fail(expression)
        })
      for (const [expression, value] of Object.entries({
        liveupdate_sessions_preserved_total: 2,
        liveupdate_files_preserved_total: 4,
        'liveupdate_errors_total{step="jump",error="SystemdRefused"}': 1,
        'liveupdate_preserved_bytes_total{content="memory"}': 192 * 2 ** 20,
        'liveupdate_vms{state="running"}': 1,
        'liveupdate_vms{state="parked"}': 0
      }))
        assert.strictEqual((yield* one(expression)).value, value, expression)
      assert.deepInclude((yield* one("liveupdate_kernel_info")).labels, {
        release: yield* host.release,
        previous_release: before
      })
    })
  )
