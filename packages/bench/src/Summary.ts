/**
 * From measurements to the table.
 *
 * @since 0.1.0
 */
import type { Implementation, Measurement } from "./Measurement.ts"
import { operations } from "./Operation.ts"

/**
 * The middle value; the mean of the two middle ones of an even number; NaN of none.
 *
 * @since 0.1.0
 * @category statistics
 */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((one, other) => one - other)
  const half = sorted.length >> 1
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2
}

/**
 * An operation's rounds, put together.
 *
 * @since 0.1.0
 * @category models
 */
export interface Row {
  readonly operation: string
  readonly rounds: number
  /** Nanoseconds for one session, file, call or GiB: the median of the rounds. */
  readonly c: number
  readonly sdk: number
  /** SDK / C within a round, where both met the same machine: the median, the smallest, the largest. */
  readonly ratio: number
  readonly lowest: number
  readonly highest: number
  /** SDK / C of the first round, which ran code that nothing had run before; it is not in the other figures. */
  readonly first: number
}

/**
 * One row for each operation that both sides have done. The first round counts only where there is no other.
 *
 * @since 0.1.0
 * @category statistics
 */
export const rows = (measurements: ReadonlyArray<Measurement>): ReadonlyArray<Row> =>
  Object.keys(operations).flatMap((operation): ReadonlyArray<Row> => {
    const of = (implementation: Implementation) =>
      new Map(
        measurements
          .filter((one) => one.operation === operation && one.implementation === implementation)
          .map((one) => [one.round, one.nanoseconds / one.amount])
      )
    const c = of("c")
    const pairs = [...of("sdk")]
      .sort(([one], [other]) => one - other)
      .flatMap(([round, sdk]) => {
        const other = c.get(round)
        return other === undefined ? [] : [{ c: other, sdk, ratio: sdk / other }]
      })
    const [first, ...later] = pairs
    if (first === undefined) return []
    const counted = later.length > 0 ? later : pairs
    const ratios = counted.map(({ ratio }) => ratio)
    return [
      {
        operation,
        rounds: pairs.length,
        c: median(counted.map((pair) => pair.c)),
        sdk: median(counted.map((pair) => pair.sdk)),
        ratio: median(ratios),
        lowest: Math.min(...ratios),
        highest: Math.max(...ratios),
        first: first.ratio
      }
    ]
  })

/**
 * What stands above the columns of `cells`.
 *
 * @since 0.1.0
 * @category rendering
 */
export const header = ["operation", "unit", "C", "SDK", "SDK / C", "rounds from … to", "first round"]

const divisors = { µs: 1e3, ms: 1e6 }

/**
 * A line for each operation, as texts.
 *
 * @since 0.1.0
 * @category rendering
 */
export const cells = (summary: ReadonlyArray<Row>): ReadonlyArray<ReadonlyArray<string>> =>
  summary.flatMap((row) => {
    const operation = operations[row.operation]
    if (operation === undefined) return []
    const time = (nanoseconds: number) => (nanoseconds / divisors[operation.unit]).toFixed(1)
    return [
      [
        operation.title,
        `${operation.unit}/${operation.per}`,
        time(row.c),
        time(row.sdk),
        `${row.ratio.toFixed(2)} ×`,
        `${row.lowest.toFixed(2)} … ${row.highest.toFixed(2)}`,
        `${row.first.toFixed(2)} ×`
      ]
    ]
  })

/**
 * The table, as text.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (summary: ReadonlyArray<Row>): string => {
  const lines = cells(summary)
  const widths = header.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0))
  )
  return [header, ...lines]
    .map((line) =>
      line
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
