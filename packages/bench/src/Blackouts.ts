/**
 * What more VMs cost: live updates of one VM and of many in turns, put together.
 *
 * @since 0.1.0
 */
import type { Blackout, TimeLine } from "@liveupdate/agent/upgrade/TimeLine"
import * as Summary from "./Summary.ts"

/**
 * A live update as it was measured.
 *
 * @since 0.1.0
 * @category models
 */
export interface Update {
  readonly round: number
  readonly vms: number
  readonly blackouts: ReadonlyArray<Blackout>
  /** Milliseconds. */
  readonly uncertainty: number
  /** Of this machine when it began, /proc/loadavg: an emulated host shares it with everything else. */
  readonly load: number
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (about: Pick<Update, "round" | "vms" | "load">, line: TimeLine): Update => ({
  ...about,
  blackouts: line.blackouts,
  uncertainty: line.uncertainty
})

/**
 * The VM that stood still longest.
 *
 * @since 0.1.0
 * @category statistics
 */
export const slowest = (update: Update): Blackout | undefined =>
  [...update.blackouts].sort((one, other) => other.total - one.total)[0]

/**
 * The slowest of many against the one, in each round: both met the same machine.
 *
 * @since 0.1.0
 * @category statistics
 */
export const ratios = (updates: ReadonlyArray<Update>): ReadonlyArray<number> =>
  updates.flatMap((many) => {
    const one = updates.find((update) => update.vms === 1 && update.round === many.round)
    const [dividend, divisor] = [slowest(many)?.total, one === undefined ? undefined : slowest(one)?.total]
    return many.vms === 1 || dividend === undefined || divisor === undefined ? [] : [dividend / divisor]
  })

const shares = ["kernel", "vmmStart", "stateSave", "stateLoad", "ours"] as const

const titles = ["round", "VMs", "slowest", "kernel", "VMM start", "save", "load", "ours", "mean", "±", "load average"]

const seconds = (milliseconds: number): string => (milliseconds / 1000).toFixed(2)

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The shares are the slowest VM's, and add up to its blackout. */
const cells = (update: Update): ReadonlyArray<string> => {
  const worst = slowest(update)
  if (worst === undefined) return [String(update.round), String(update.vms)]
  return [
    String(update.round),
    String(update.vms),
    seconds(worst.total),
    ...shares.map((share) => seconds(worst[share])),
    seconds(mean(update.blackouts.map(({ total }) => total))),
    seconds(update.uncertainty),
    update.load.toFixed(1)
  ]
}

/**
 * A table in seconds, and the ratio under it.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (updates: ReadonlyArray<Update>): string => {
  const table = [titles, ...updates.map(cells)]
  const widths = titles.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  const lines = table.map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join("  "))
  const all = ratios(updates)
  const verdict =
    all.length === 0
      ? "no round is whole"
      : `slowest of many / one: ${Summary.median(all).toFixed(2)} × (median; ${all.map((ratio) => ratio.toFixed(2)).join(", ")})`
  return [...lines, "", verdict].join("\n")
}
