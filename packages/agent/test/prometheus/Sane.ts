/**
 * What has to be true of every documented series on a host that has seen one live update that succeeded and one that was rolled back.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Series from "../../src/metrics/Series.ts"
import type { Prometheus } from "./Prometheus.ts"

/** VMs that came through, and how many that were given back had been paused. */
export interface Seen {
  readonly carried: number
  readonly pausedInVain: number
  readonly way: "direct" | "systemd"
}

const one = (prometheus: Prometheus, expression: string) =>
  Effect.map(prometheus.query(expression), (samples) => {
    assert.lengthOf(samples, 1, expression)
    return samples[0]?.value ?? Number.NaN
  })

/** Each is there, as the table has it, with the labels of the table and no others. */
export const everySeries = (prometheus: Prometheus) =>
  Effect.gen(function* () {
    const metadata = yield* prometheus.metadata
    for (const { name, type, help, labels } of Series.all) {
      assert.deepInclude(metadata.get(name), { type, help }, name)
      const samples = yield* prometheus.query(type === "histogram" ? `${name}_count` : name)
      assert.isAbove(samples.length, 0, name)
      for (const sample of samples) {
        const { __name__: _, instance, job, ...own } = sample.labels
        assert.sameMembers(
          Object.keys(own),
          Object.keys(labels).filter((label) => own[label] !== undefined),
          name
        )
        // Prometheus takes an empty label for one that isn't there.
        for (const label of Object.keys(labels))
          assert.isTrue(own[label] !== undefined || /operation|errno|previous_release/.test(label), `${name}: ${label}`)
        assert.isTrue(Number.isFinite(sample.value) && sample.value >= 0, `${name}: ${sample.value}`)
        assert.strictEqual(job, "liveupdate")
        assert.isNotEmpty(instance ?? "")
      }
    }
    // And none that isn't documented.
    const names = [...metadata.keys()].filter((name) => name.startsWith("liveupdate_"))
    assert.sameMembers(
      names,
      Series.all.map(({ name }) => name)
    )
  })

/** Counts are exact, times are within what a blackout may be. */
export const values = (prometheus: Prometheus, { carried, pausedInVain, way }: Seen) =>
  Effect.gen(function* () {
    const is = (expression: string, expected: number) =>
      Effect.map(one(prometheus, expression), (value) => assert.strictEqual(value, expected, expression))
    const within = (expression: string, least: number, most: number) =>
      Effect.map(one(prometheus, expression), (value) => {
        assert.isAtLeast(value, least, expression)
        assert.isAtMost(value, most, expression)
        return value
      })
    yield* is('liveupdate_runs_total{result="succeeded"}', 1)
    yield* is('liveupdate_runs_total{result="rolled_back"}', 1)
    yield* is('sum(liveupdate_runs_total{result!~"succeeded|rolled_back|refused"})', 0)
    yield* is("liveupdate_runs_unfinished", 0)
    yield* is(`liveupdate_kexecs_total{way="${way}"}`, 1)
    yield* is("sum(liveupdate_kexecs_total)", 1)
    yield* is('liveupdate_blackout_seconds_count{result="succeeded"}', carried)
    yield* is('liveupdate_blackout_seconds_bucket{result="succeeded",le="+Inf"}', carried)
    yield* is('liveupdate_blackout_seconds_bucket{result="succeeded",le="0.05"}', 0)
    yield* is('liveupdate_blackout_seconds_bucket{result="succeeded",le=~"60([.]0)?"}', carried)
    yield* is('liveupdate_blackout_seconds_count{result="rolled_back"}', pausedInVain)
    const blackout = yield* within('liveupdate_blackout_seconds_sum{result="succeeded"}', 0.05 * carried, 60 * carried)
    yield* within("sum(liveupdate_blackout_share_seconds_total)", blackout - 0.001, blackout + 0.001)
    yield* within("sum(liveupdate_last_blackout_seconds)", blackout - 0.001, blackout + 0.001)
    yield* is("count(liveupdate_last_blackout_seconds)", carried)
    yield* within('histogram_quantile(0.5, liveupdate_blackout_seconds_bucket{result="succeeded"})', 0.05, 60)
    yield* is('liveupdate_phase_duration_seconds_count{phase="resume"}', carried)
    yield* is('liveupdate_phase_duration_seconds_count{phase="jump"}', 1)
    yield* within('sum(liveupdate_phase_duration_seconds_sum{phase=~"jump|kernel-boot"})', 0.01, 60)
    yield* within("sum(liveupdate_errors_total)", 1, 100)
    yield* within('liveupdate_preserved_bytes_total{content="memory"}', carried * 2 ** 20, carried * 2 ** 40)
    yield* within('liveupdate_preserved_bytes_total{content="state"}', carried * 2 ** 10, carried * 2 ** 30)
    return { blackout }
  })
