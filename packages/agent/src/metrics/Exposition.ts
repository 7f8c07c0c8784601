/**
 * Prometheus' text format, version 0.0.4. A library's registry counts within a process and gives no way to begin where a file says that an
 * earlier one stopped; what there is left to do is this.
 *
 * @since 0.1.0
 */
import type { Series } from "./Series.ts"

/**
 * What a server says of it.
 *
 * @since 0.1.0
 * @category constants
 */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

/**
 * What was observed: how often, how much, and how often up to which bound, each bound for itself. A histogram with other bounds than those
 * it was noted with puts each of them under its own next one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Histogram {
  readonly sum: number
  readonly count: number
  /** Observations above the bound before and up to this one; those beyond the last are in `count` only. */
  readonly bounds: Readonly<Record<string, number>>
}

/**
 * A series with the values of its labels, as they are written behind its name: `result="succeeded"`, or nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface Family {
  readonly series: Series
  readonly samples: ReadonlyArray<readonly [labels: string, value: number | Histogram]>
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

/**
 * Labels as they are written, in the order of the table.
 *
 * @since 0.1.0
 * @category rendering
 */
export const labelsOf = <Labels extends string>(
  series: Series<Labels>,
  values: Readonly<Record<Labels, string>>
): string =>
  Object.keys(series.labels)
    .map((label) => `${label}="${escaped(values[label as Labels]).replaceAll('"', '\\"')}"`)
    .join(",")

/** Sums of milliseconds have digits that mean nothing. */
const number = (value: number): string =>
  Number.isFinite(value) ? String(Math.round(value * 1e6) / 1e6) : value > 0 ? "+Inf" : value < 0 ? "-Inf" : "NaN"

const line = (name: string, labels: string, value: number): string =>
  `${name}${labels === "" ? "" : `{${labels}}`} ${number(value)}`

const histogram = ({ name, buckets = [] }: Series, labels: string, { sum, count, bounds }: Histogram) => {
  const upTo = (bound: number) =>
    Object.entries(bounds).reduce((total, [each, times]) => (Number(each) <= bound ? total + times : total), 0)
  const labelled = (le: string) => `${labels === "" ? "" : `${labels},`}le="${le}"`
  return [
    ...buckets.map((bound) => line(`${name}_bucket`, labelled(String(bound)), upTo(bound))),
    line(`${name}_bucket`, labelled("+Inf"), count),
    line(`${name}_sum`, labels, sum),
    line(`${name}_count`, labels, count)
  ]
}

/**
 * All of it; a family without a sample isn't told.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (families: ReadonlyArray<Family>): string =>
  families
    .filter(({ samples }) => samples.length > 0)
    .flatMap(({ series, samples }) => [
      `# HELP ${series.name} ${escaped(series.help)}`,
      `# TYPE ${series.name} ${series.type}`,
      ...samples.flatMap(([labels, value]) =>
        typeof value === "number" ? [line(series.name, labels, value)] : histogram(series, labels, value)
      )
    ])
    .map((text) => `${text}\n`)
    .join("")
