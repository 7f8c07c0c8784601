/** LIVEUPDATE_SEED repeats a run; otherwise each is another one. */
export const choose = (): number => {
  const given = process.env["LIVEUPDATE_SEED"]
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given)
  if (!Number.isSafeInteger(seed)) throw new Error(`LIVEUPDATE_SEED is no number: ${given}`)
  process.stderr.write(`LIVEUPDATE_SEED=${seed}\n`)
  return seed
}

/** LIVEUPDATE_OPERATIONS makes a longer run. */
export const operations = (): number => Number(process.env["LIVEUPDATE_OPERATIONS"] ?? 12_000)
