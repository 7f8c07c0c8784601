/**
 * The seed of this run's random tests: printed, so that a failure can be had again with `LIVEUPDATE_SEED=… npx vitest run …`.
 */
export const seed = Number(process.env["LIVEUPDATE_SEED"] ?? Math.floor(Math.random() * 2 ** 31))

/** Says what is about to be tried, and with which seed. */
export const announce = (what: string): void => void process.stdout.write(`${what}, LIVEUPDATE_SEED=${seed}\n`)
