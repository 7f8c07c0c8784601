/**
 * How much of everything is done, and in how many rounds; the same inside the host and outside it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export class Plan extends Schema.Class<Plan>("Plan")({
  rounds: Schema.Int,
  /** Sessions alive at once. */
  sessions: Schema.Int,
  /** Small files in a session. */
  files: Schema.Int,
  /** MiB of a memfd in 4 KiB folios, and in huge ones. */
  smallFolios: Schema.Int,
  hugeFolios: Schema.Int,
  /** What comes through the jump is there for each round and both sides at once, so memory has few rounds of it. */
  memoryRounds: Schema.Int
}) {}

/**
 * What a host of 4 GiB has room for.
 *
 * @since 0.1.0
 * @category constants
 */
export const standard = (rounds: number): Plan =>
  new Plan({
    rounds,
    sessions: 2000,
    files: 500,
    smallFolios: 128,
    hugeFolios: 256,
    memoryRounds: Math.min(rounds, 3)
  })

/**
 * @since 0.1.0
 * @category codecs
 */
export const json = Schema.parseJson(Plan)
