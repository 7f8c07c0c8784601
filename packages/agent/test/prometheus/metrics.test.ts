/**
 * The real Prometheus scrapes `agent serve-metrics` of a host that has seen one live update that succeeded and one that was rolled back;
 * it and promtool are asked whether everything is as it is documented.
 */
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { text } from "../../src/cli/MetricsCommands.ts"
import * as ListenAddress from "../../src/metrics/ListenAddress.ts"
import * as Server from "../../src/metrics/Server.ts"
import * as Hosts from "../metrics/hosts.ts"
import * as Prometheus from "./Prometheus.ts"
import * as Sane from "./Sane.ts"

const folder = fileURLToPath(new URL("../../prometheus/", import.meta.url))

describe("Prometheus", () => {
  it.scopedLive("has every documented series, with sane values, after one success and one roll-back", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const address = yield* Server.serve({ host: "127.0.0.1", port: 0 }, text(runs))
      const prometheus = yield* Prometheus.scraping(ListenAddress.format(address))
      yield* Sane.everySeries(prometheus)
      yield* Sane.values(prometheus, { carried: 3, pausedInVain: 1, way: "direct" })
    }).pipe(Effect.provide(Hosts.layer))
  )

  it.scopedLive("scrapes over IPv6 as well", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const address = yield* Server.serve({ host: "::1", port: 0 }, text(runs))
      yield* Sane.everySeries(yield* Prometheus.scraping(ListenAddress.format(address)))
    }).pipe(Effect.provide(Hosts.layer))
  )
})

describe("promtool", () => {
  const isContent = ({ code, said }: { readonly code: number; readonly said: string }) =>
    assert.strictEqual(code, 0, said)

  it.scopedLive("has nothing to say against the metrics", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const result = yield* Prometheus.promtool(["check", "metrics"], yield* text(runs))
      assert.strictEqual(result.said.trim(), "")
      isContent(result)
    }).pipe(Effect.provide(Hosts.layer))
  )

  it.live("takes the alert rules, which fire when they have to and only then", () =>
    Effect.gen(function* () {
      isContent(yield* Prometheus.promtool(["check", "rules", `${folder}liveupdate.rules.yml`]))
      isContent(yield* Prometheus.promtool(["test", "rules", `${folder}liveupdate.rules.test.yml`]))
    })
  )
})
