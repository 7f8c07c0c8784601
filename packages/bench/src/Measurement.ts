/**
 * One timed piece of work, as the program inside the host writes it: a JSON object per line.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export const Implementation = Schema.Literal("c", "sdk")

/**
 * @since 0.1.0
 * @category models
 */
export type Implementation = typeof Implementation.Type

/**
 * @since 0.1.0
 * @category models
 */
export class Measurement extends Schema.Class<Measurement>("Measurement")({
  /** What was measured; see `Operation`. */
  operation: Schema.String,
  implementation: Implementation,
  /** From 0; the first one is the cold one. */
  round: Schema.Int,
  /** How often it was done, or how many GiB it was done to. */
  amount: Schema.Number,
  nanoseconds: Schema.Number
}) {}

const json = Schema.parseJson(Measurement)

/**
 * @since 0.1.0
 * @category codecs
 */
export const toLine = Schema.encodeSync(json)

/**
 * The measurements among a program's output; everything else is left out.
 *
 * @since 0.1.0
 * @category codecs
 */
export const fromLines = (text: string): ReadonlyArray<Measurement> => {
  const decode = Schema.decodeOption(json)
  return text.split("\n").flatMap((line) => {
    const found = decode(line)
    return found._tag === "Some" ? [found.value] : []
  })
}
