/**
 * A report as text.
 *
 * @since 0.1.0
 */
import * as Figures from "./Figures.ts"
import type { Bar, Report } from "./Report.ts"
import * as Strip from "./Strip.ts"

/**
 * Characters of a VM's strip.
 *
 * @since 0.1.0
 * @category constants
 */
export const STRIP_WIDTH = 48

/**
 * Text from a run's log as it may go to a terminal: without characters that would move its cursor.
 *
 * @since 0.1.0
 * @category rendering
 */
export const printable = (text: string): string => text.replaceAll(/\p{Cc}+/gu, " ")

/** Columns as wide as what is in them; the first `left` aligned to the left, figures to the right. */
const columns = (rows: ReadonlyArray<ReadonlyArray<string>>, left: number): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, index) => (index < left ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)))
      .join("  ")
      .trimEnd()
  )
}

const strips = (report: Report, paint?: Strip.Paint): ReadonlyArray<string> => {
  const still = report.vms.filter(({ blackout }) => blackout !== undefined)
  if (still.length === 0) return []
  const end = Math.max(...still.map(({ blackout }) => blackout?.end ?? Figures.end(report)))
  const name = Math.max(...still.map(({ id }) => printable(id).length))
  const rows = still.map((vm) =>
    `${printable(vm.id).padEnd(name)}  ${Strip.render(Strip.cells(vm, end, STRIP_WIDTH), paint)}`.trimEnd()
  )
  return [`From the first pause on, ${Figures.ms(end)}:`, ...rows, Strip.legend(paint), ""]
}

const blackouts = (report: Report): ReadonlyArray<string> => {
  const rows = report.vms.flatMap(({ id, blackout }) =>
    blackout === undefined
      ? []
      : [
          [
            printable(id),
            Figures.blackout(report, blackout),
            ...Figures.shares.map(([share]) =>
              blackout.shares === undefined ? "" : Figures.ms(blackout.shares[share])
            )
          ]
        ]
  )
  if (rows.length === 0) return []
  return [...columns([["VM", "blackout", ...Figures.shares.map(([, name]) => name)], ...rows], 1), ""]
}

const bars = (report: Report): ReadonlyArray<string> => {
  const rowsOf = (owner: string, bars: ReadonlyArray<Bar>) =>
    bars.map((bar) => [
      owner,
      Figures.part(bar),
      Figures.who[bar.who],
      Figures.ms(bar.begin),
      Figures.ms(bar.end),
      Figures.ms(bar.end - bar.begin)
    ])
  const rows = [
    ...rowsOf("host", report.host),
    ...report.vms.flatMap(({ bars, id }) => rowsOf(`VM ${printable(id)}`, bars))
  ]
  return rows.length === 0 ? [] : columns([["", "part", "who", "begin", "end", "duration"], ...rows], 3)
}

/**
 * The strips, and whose the blackouts were; nothing of a run that paused nobody.
 *
 * @since 0.1.0
 * @category rendering
 */
export const picture = (report: Report, paint?: Strip.Paint): ReadonlyArray<string> => [
  ...strips(report, paint),
  ...blackouts(report)
]

/**
 * @since 0.1.0
 * @category rendering
 */
export const render = (report: Report): string =>
  [
    `Run ${printable(report.run)}: ${report.result}`,
    printable(report.message),
    `Kernel ${printable(Figures.kernels(report))}`,
    "",
    ...picture(report),
    ...bars(report)
  ]
    .join("\n")
    .trimEnd()
