import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { parser } from "@prometheus-io/lezer-promql"
import * as Series from "../../src/metrics/Series.ts"

const file = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8")

/** All values under a key, wherever they are. */
const valuesOf = (value: unknown, key: string): ReadonlyArray<unknown> =>
  typeof value !== "object" || value === null
    ? []
    : Object.entries(value).flatMap(([name, inner]) => [...(name === key ? [inner] : []), ...valuesOf(inner, key)])

/** Grafana puts durations in the place of these. */
const asQuery = (expression: string) => expression.replaceAll(/\$__(range|interval)/g, "5m")

/** Names of series and of labels that an expression speaks of; fails where it is no PromQL. */
const namesOf = (expression: string) => {
  const query = asQuery(expression)
  const found = { metrics: new Set<string>(), labels: new Set<string>() }
  parser.parse(query).iterate({
    enter: ({ type, from, to }) => {
      const text = query.slice(from, to)
      assert.isFalse(type.isError, `not PromQL at ${from}: ${query}`)
      if (type.name === "VectorSelector") found.metrics.add(/^[a-z_:]+/i.exec(text)?.[0] ?? text)
      if (type.name === "LabelName") found.labels.add(text)
    }
  })
  return found
}

/** Every name under which a series is scraped. */
const scraped = new Map(
  Series.all.flatMap((series) =>
    series.type === "histogram"
      ? ["_bucket", "_sum", "_count"].map((suffix) => [`${series.name}${suffix}`, series] as const)
      : [[series.name, series] as const]
  )
)

const dashboard: unknown = JSON.parse(file("grafana/liveupdate.json"))
const expressions = valuesOf(dashboard, "expr").map(String)
const rules = [...file("prometheus/liveupdate.rules.yml").matchAll(/^ +expr: (.*)$/gm)].map(([, expr = ""]) => expr)

const checkNames = (expression: string) => {
  const { metrics, labels } = namesOf(expression)
  assert.isAbove(metrics.size, 0, expression)
  // What Prometheus itself adds, and a histogram's own.
  const known = new Set(["instance", "le"])
  for (const metric of metrics) {
    const series = scraped.get(metric) ?? assert.fail(`${metric} is no series of ours: ${expression}`)
    for (const label of Object.keys(series.labels)) known.add(label)
  }
  for (const label of labels) assert.isTrue(known.has(label), `${label} is no label of them: ${expression}`)
}

/** Values that an expression asks for, of labels whose values are known. */
const checkValues = (expression: string) => {
  for (const [, metric = "", selector = ""] of expression.matchAll(/(liveupdate_[a-z_]+)\{([^}]*)\}/g))
    for (const [, label = "", value = ""] of selector.matchAll(/(\w+)="([^"]*)"/g)) {
      const values = scraped.get(metric)?.labels[label]?.values
      assert.include(values ?? [value], value, expression)
    }
}

describe("the dashboard", () => {
  it("asks for series, labels and values that there are", () => {
    assert.isAbove(expressions.length, 15)
    expressions.forEach(checkNames)
    expressions.forEach(checkValues)
  })

  it("shows every series", () => {
    const shown = new Set(expressions.flatMap((expression) => [...namesOf(expression).metrics]))
    const missing = Series.all.filter((series) => ![...shown].some((name) => scraped.get(name) === series))
    assert.deepStrictEqual(missing, [])
  })

  it("panels have a title, an id of their own, and no place in common", () => {
    const panels = valuesOf(dashboard, "panels")[0]
    assert.isTrue(Array.isArray(panels))
    const taken = new Set<string>()
    const ids = new Set<unknown>()
    for (const { id, title, gridPos } of panels as ReadonlyArray<{
      readonly id: number
      readonly title: string
      readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
    }>) {
      assert.isNotEmpty(title)
      assert.isFalse(ids.has(id))
      ids.add(id)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.isFalse(taken.has(`${x} ${y}`), `${title} lies on another panel`)
          assert.isBelow(x, 24)
          taken.add(`${x} ${y}`)
        }
    }
  })
})

describe("the alert rules", () => {
  it("ask for series, labels and values that there are", () => {
    assert.isAbove(rules.length, 5)
    rules.forEach(checkNames)
    rules.forEach(checkValues)
  })

  it("a series that isn't, and what is no PromQL, would be found", () => {
    assert.throws(() => checkNames("rate(liveupdate_upgrades_total[5m])"), /no series of ours/)
    assert.throws(() => checkNames('liveupdate_vms{host="a"}'), /no label/)
    assert.throws(() => checkNames("sum(liveupdate_vms"), /not PromQL/)
    assert.throws(() => checkValues('liveupdate_vms{state="lost"}'))
  })
})
