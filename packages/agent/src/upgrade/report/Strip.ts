/**
 * A VM's blackout as a strip of characters, each for a stretch of time and whoever was at work in it.
 *
 * @since 0.1.0
 */
import * as Figures from "./Figures.ts"
import type { Vm, Who } from "./Report.ts"

/**
 * Told apart without colours.
 *
 * @since 0.1.0
 * @category rendering
 */
export const characters: Readonly<Record<Who, string>> = { kernel: "█", vmm: "▓", ours: "░" }

/**
 * Gives what is drawn for somebody his colour.
 *
 * @since 0.1.0
 * @category rendering
 */
export type Paint = (who: Who, text: string) => string

const plain: Paint = (_, text) => text

/** A VMM that starts beside us is what we wait for; what nobody is seen at is ours, as in the blackout's shares. */
const order: ReadonlyArray<Who> = ["kernel", "vmm"]

/**
 * Who was at work in each of `width` equal stretches from the zero to `end`; `undefined` where the guest ran.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cells = ({ bars, blackout }: Vm, end: number, width: number): ReadonlyArray<Who | undefined> =>
  Array.from({ length: width }, (_, index) => {
    const moment = ((index + 0.5) / width) * end
    if (blackout === undefined || moment < blackout.begin || moment >= (blackout.end ?? end)) return undefined
    const working = bars.filter(({ begin, end }) => begin <= moment && moment < end)
    return order.find((who) => working.some((bar) => bar.who === who)) ?? "ours"
  })

/**
 * @since 0.1.0
 * @category rendering
 */
export const render = (cells: ReadonlyArray<Who | undefined>, paint: Paint = plain): string => {
  const runs: Array<{ readonly who: Who | undefined; readonly length: number }> = []
  for (const who of cells) {
    const last = runs.at(-1)
    if (last?.who === who && last !== undefined) runs[runs.length - 1] = { who, length: last.length + 1 }
    else runs.push({ who, length: 1 })
  }
  return runs
    .map(({ who, length }) => (who === undefined ? " ".repeat(length) : paint(who, characters[who].repeat(length))))
    .join("")
}

/**
 * One bar in a strip of its own, so that bars below each other show what came when; a bar is never too short to be seen.
 *
 * @since 0.1.0
 * @category rendering
 */
export const bar = (begin: number, end: number, length: number, width: number): string => {
  const cell = (ms: number) => (ms / length) * width
  const from = Math.min(width - 1, Math.max(0, Math.floor(cell(begin))))
  const filled = Math.max(1, Math.min(width - from, Math.round(cell(end - begin))))
  return `${" ".repeat(from)}${characters.kernel.repeat(filled)}`.padEnd(width)
}

/**
 * What the characters stand for.
 *
 * @since 0.1.0
 * @category rendering
 */
export const legend = (paint: Paint = plain): string =>
  ([...order, "ours"] as const).map((who) => `${paint(who, characters[who])} ${Figures.who[who]}`).join("  ")
