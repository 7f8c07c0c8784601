/**
 * Why bytes are no manifest, or no manifest that this version reads.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** What to do about it; after the jump nothing is lost by waiting. */
const keep = "The session's files are untouched: don't finish it, and read it with the version that wrote it"

const reasons = {
  magic: ["it doesn't begin as a manifest", "Look at what was preserved at token 0"],
  version: ["it takes a newer reader", keep],
  truncated: ["it ends too early", keep],
  trailing: ["there is more of it than it says", keep],
  "too-large": ["it is over a limit", "A manifest is for what can't be found elsewhere; preserve big things as files"],
  checksum: ["its checksum differs", keep],
  encoding: ["it isn't UTF-8", keep],
  "too-deep": ["it is nested too deeply", keep],
  syntax: ["it isn't JSON as a manifest has it", keep],
  field: ["a field of it isn't valid", keep],
  data: ["the caller's data doesn't fit the caller's schema", "Use the schema that it was written with"]
} as const

/**
 * Bytes that are no manifest which this version reads, or a value that can't become one. Nothing was restored from it.
 *
 * - `magic`, `version`, `truncated`, `trailing`, `checksum`: the header and the bytes as a whole. `needs` is there with
 *   `version`: the oldest layout version that a reader has to know.
 * - `too-large`: over `MAX_BYTES`, `MAX_DATA_BYTES` or `MAX_FILES`; found before anything is parsed.
 * - `encoding`, `too-deep`, `syntax`: a text in it isn't UTF-8, is nested deeper than `MAX_DEPTH`, isn't JSON exactly as
 *   `JSON.stringify` writes it, or has a key `__proto__`.
 * - `field`: a field of the description isn't valid; `where` names it, such as `files[3].token`.
 * - `data`: the caller's data doesn't fit the caller's schema.
 *
 * @since 0.1.0
 * @category errors
 */
export class ManifestInvalid extends Schema.TaggedError<ManifestInvalid>()("ManifestInvalid", {
  reason: Schema.Literal(
    "magic",
    "version",
    "truncated",
    "trailing",
    "too-large",
    "checksum",
    "encoding",
    "too-deep",
    "syntax",
    "field",
    "data"
  ),
  /** The field, or `byte N`. */
  where: Schema.String,
  detail: Schema.String,
  needs: Schema.optionalWith(Schema.Number, { exact: true })
}) {
  get next(): string {
    return reasons[this.reason][1]
  }
  override get message(): string {
    return `Not a manifest: ${reasons[this.reason][0]} (${this.where}: ${this.detail}). ${this.next}`
  }
}
