/**
 * What a guest of packages/qemu-host/guest/init.c proves on its console: that it counts on, and never began anew.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export interface Counting {
  readonly boots: number
  readonly last: number
  /** Places where the count doesn't go on with the next number. */
  readonly gaps: ReadonlyArray<string>
}

/**
 * Whole lines only: the last one may still be under way.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parse = (console: string): Counting => {
  const lines = console.slice(0, console.lastIndexOf("\n") + 1).split(/\r?\n/)
  const ticks = lines.flatMap((line) => {
    const tick = /^tick (\d+) up /.exec(line)?.[1]
    return tick === undefined ? [] : [Number(tick)]
  })
  return {
    boots: lines.filter((line) => line.startsWith("guest kernel ")).length,
    last: ticks.at(-1) ?? 0,
    gaps: ticks.flatMap((tick, index) => {
      const before = ticks[index - 1] ?? 0
      return tick === before + 1 ? [] : [`${before} → ${tick}`]
    })
  }
}
