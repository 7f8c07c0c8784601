import { assert, describe, it } from "@effect/vitest"
import * as Exposition from "../../src/metrics/Exposition.ts"
import * as Series from "../../src/metrics/Series.ts"
import * as Tally from "../../src/metrics/Tally.ts"

const histogram = {
  name: "h_seconds",
  type: "histogram",
  help: 'a \\ and\na "line"',
  labels: { vm: { what: "" } },
  buckets: [0.1, 1, 10]
} as const satisfies Series.Series<"vm">

describe("Prometheus' text format", () => {
  it("a histogram: cumulative, with +Inf, sum and count; what its lines would break on is escaped", () => {
    const observed = [0.05, 0.1, 0.5, 9, 60].map((value) => Tally.observed(histogram, { vm: 'a"\\\nb' }, value))
    const { histograms } = observed.reduce(Tally.add, Tally.empty)
    assert.strictEqual(
      Exposition.render([{ series: histogram, samples: Object.entries(histograms["h_seconds"] ?? {}) }]),
      [
        '# HELP h_seconds a \\\\ and\\na "line"',
        "# TYPE h_seconds histogram",
        'h_seconds_bucket{vm="a\\"\\\\\\nb",le="0.1"} 2',
        'h_seconds_bucket{vm="a\\"\\\\\\nb",le="1"} 3',
        'h_seconds_bucket{vm="a\\"\\\\\\nb",le="10"} 4',
        'h_seconds_bucket{vm="a\\"\\\\\\nb",le="+Inf"} 5',
        'h_seconds_sum{vm="a\\"\\\\\\nb"} 69.65',
        'h_seconds_count{vm="a\\"\\\\\\nb"} 5',
        ""
      ].join("\n")
    )
  })

  it("what was noted with other bounds is under the next one, and nothing is lost", () => {
    const noted = { sum: 3, count: 3, bounds: { "0.2": 1, "5": 1 } }
    const lines = Exposition.render([{ series: histogram, samples: [["", noted]] }]).split("\n")
    assert.includeMembers(lines, [
      'h_seconds_bucket{le="0.1"} 0',
      'h_seconds_bucket{le="1"} 1',
      'h_seconds_bucket{le="10"} 2',
      'h_seconds_bucket{le="+Inf"} 3'
    ])
  })

  it("a family without a sample is not told", () =>
    assert.strictEqual(Exposition.render([{ series: Series.errors, samples: [] }]), ""))
})

describe("the table of series", () => {
  it("names follow Prometheus' rules", () => {
    assert.strictEqual(new Set(Series.all.map(({ name }) => name)).size, Series.all.length)
    for (const { name, type, unit, labels, buckets, help } of Series.all) {
      assert.match(name, /^liveupdate_[a-z][a-z_]*[a-z]$/)
      assert.strictEqual(name.endsWith("_total"), type === "counter", name)
      assert.strictEqual(/_(seconds|bytes)(_total)?$/.exec(name)?.[1], unit, name)
      assert.strictEqual(type === "histogram", buckets !== undefined, name)
      assert.deepStrictEqual(
        [...(buckets ?? [])].sort((a, b) => a - b),
        [...(buckets ?? [])],
        name
      )
      for (const label of Object.keys(labels)) assert.match(label, /^(?!le$)[a-z][a-z_]*$/)
      assert.match(help, /^[A-Z].*\.$/)
    }
  })
})
