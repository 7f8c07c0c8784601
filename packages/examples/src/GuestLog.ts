/**
 * Reads what the demo's guest says on its console (`packages/qemu-host/guest/init.c`).
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export interface Tick {
  readonly number: number
  /** Seconds of the guest's own uptime. */
  readonly up: number
  readonly text: string
}

/**
 * @since 0.1.0
 * @category parsing
 */
export const ticks = (log: string): ReadonlyArray<Tick> =>
  [...log.matchAll(/^tick (\d+) up (\d+\.\d+)\r?$/gm)].map(([text, number, up]) => ({
    number: Number(number),
    up: Number(up),
    text: text.trim()
  }))

const passLines = (log: string) => [...log.matchAll(/^pattern pass \d+ ok (\d+) bad (\d+)\r?$/gm)]

/**
 * How often the guest has verified its whole pattern.
 *
 * @since 0.1.0
 * @category parsing
 */
export const passes = (log: string): number => passLines(log).length

/**
 * What a guest's console proves of a live update.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verdict {
  readonly ticks: number
  readonly lastBefore: Tick | undefined
  readonly firstAfter: Tick | undefined
  readonly missing: number
  readonly repeated: number
  /** Verified by the last complete pass, which began after the jump. */
  readonly patternBytes: number
  /** In all passes. */
  readonly badBytes: number
  readonly hypervisor: string
  readonly sound: boolean
}

/**
 * `jumped`: bytes of the log that were written before the jump.
 *
 * @since 0.1.0
 * @category parsing
 */
export const judge = (log: string, jumped: number): Verdict => {
  const all = ticks(log)
  const before = ticks(log.slice(0, jumped))
  const steps = all
    .slice(1)
    .map((tick, index) => ({ by: tick.number - (all[index]?.number ?? 0), up: tick.up - (all[index]?.up ?? 0) }))
  const missing = steps.reduce((sum, { by }) => sum + Math.max(0, by - 1), 0)
  const repeated = steps.filter(({ by }) => by <= 0).length
  const completed = passLines(log)
  const patternBytes = Number(completed.at(-1)?.[1] ?? 0)
  const badBytes = [...log.matchAll(/ bad (\d+)/g)].reduce((sum, [, bad]) => sum + Number(bad), 0)
  const firstAfter = all[before.length]
  const hypervisor = /hypervisor (\S+) clocksource (\S+)/.exec(log)
  return {
    ticks: all.length,
    lastBefore: before.at(-1),
    firstAfter,
    missing,
    repeated,
    patternBytes,
    badBytes,
    hypervisor: hypervisor === null ? "unknown" : `${hypervisor[1]} with ${hypervisor[2]}`,
    sound:
      before.length > 0 &&
      firstAfter !== undefined &&
      missing === 0 &&
      repeated === 0 &&
      steps.every(({ up }) => up > 0) &&
      passes(log) >= passes(log.slice(0, jumped)) + 2 &&
      patternBytes > 0 &&
      badBytes === 0
  }
}
