/**
 * The words and figures of a report, the same in all its formats.
 *
 * @since 0.1.0
 */
import type { Bar, Blackout, Report, Shares, Who } from "./Report.ts"

/**
 * @since 0.1.0
 * @category rendering
 */
export const who: Readonly<Record<Who, string>> = { kernel: "kernel", vmm: "VMM", ours: "ours" }

/**
 * The shares of a blackout in the order in which they are told.
 *
 * @since 0.1.0
 * @category rendering
 */
export const shares: ReadonlyArray<readonly [keyof typeof Shares.Type, string]> = [
  ["kernel", "kernel"],
  ["vmmStart", "VMM start"],
  ["stateSave", "state save"],
  ["stateLoad", "state load"],
  ["ours", "ours"]
]

/**
 * @since 0.1.0
 * @category rendering
 */
export const ms = (value: number): string => `${Math.round(value)} ms`

/**
 * How far what lies across the jump may be off.
 *
 * @since 0.1.0
 * @category rendering
 */
export const uncertainty = ({ uncertainty }: Pick<Report, "uncertainty">): string => `±${Math.ceil(uncertainty)} ms`

/**
 * How long a guest stood still.
 *
 * @since 0.1.0
 * @category rendering
 */
export const blackout = (report: Report, { begin, end, shares }: Blackout): string => {
  if (end === undefined)
    return report.result === "lost" || report.result === "cold-boot"
      ? "without an end: the guest is lost"
      : "stands still, or its end is not known"
  // On one kernel there is one clock, and nothing to be off.
  return shares === undefined ? ms(end - begin) : `${ms(end - begin)} (${uncertainty(report)})`
}

/**
 * `from → to`, as far as the run knew them.
 *
 * @since 0.1.0
 * @category rendering
 */
export const kernels = ({ from, to }: Report): string => `${from ?? "unknown"} → ${to ?? "unknown"}`

/**
 * A bar's name in a table.
 *
 * @since 0.1.0
 * @category rendering
 */
export const part = ({ part, failed }: Bar): string => (failed === true ? `${part} (failed)` : part)

/**
 * One bar in words: `save-state · VMM · 692 ms, from 254 ms to 946 ms`.
 *
 * @since 0.1.0
 * @category rendering
 */
export const bar = (bar: Bar): string =>
  `${bar.part} · ${who[bar.who]} · ${ms(bar.end - bar.begin)}, from ${ms(bar.begin)} to ${ms(bar.end)}${bar.failed === true ? " · failed" : ""}`

/**
 * When the last thing of a run ended; at least 1 ms after its zero, so that there is something to draw on.
 *
 * @since 0.1.0
 * @category accessors
 */
export const end = ({ host, vms }: Report): number =>
  Math.max(
    1,
    ...[...host, ...vms.flatMap(({ bars }) => bars)].map(({ end }) => end),
    ...vms.map(({ blackout }) => blackout?.end ?? 0)
  )
