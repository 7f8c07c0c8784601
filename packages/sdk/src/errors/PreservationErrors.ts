/**
 * What is wrong with a set of files that was to be preserved, or brought back, as one.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Token from "../Token.ts"

/**
 * Files need each other in a circle, so none of them can come first. `cycle` names them: each needs the next, the last one
 * the first.
 *
 * @since 0.1.0
 * @category errors
 */
export class DependencyCycle extends Schema.TaggedError<DependencyCycle>()("DependencyCycle", {
  session: Schema.String,
  cycle: Schema.NonEmptyArray(Schema.String)
}) {
  get next(): string {
    return "A file is preserved after those it needs; take one of these dependencies away"
  }
  override get message(): string {
    return `Files of session "${this.session}" need each other in a circle: ${[...this.cycle, this.cycle[0]].join(" → ")}. ${this.next}`
  }
}

/**
 * A file needs one that isn't preserved with it. `needs` is its name, or what is known of it when it has none here.
 *
 * @since 0.1.0
 * @category errors
 */
export class DependencyMissing extends Schema.TaggedError<DependencyMissing>()("DependencyMissing", {
  session: Schema.String,
  file: Schema.String,
  needs: Schema.String
}) {
  get next(): string {
    return "Preserve it in the same session"
  }
  override get message(): string {
    return `"${this.file}" of session "${this.session}" needs ${this.needs}, which is not among the session's files. ${this.next}`
  }
}

/**
 * Two files of a session have the same token, or one has 0, which is the manifest's own.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenTaken extends Schema.TaggedError<TokenTaken>()("TokenTaken", {
  session: Schema.String,
  token: Schema.BigInt,
  file: Schema.String,
  /** The file that has it, or `manifest`. */
  by: Schema.String
}) {
  get next(): string {
    return "Give every file a token of its own, 0 excepted"
  }
  override get message(): string {
    return `${Token.format(this.token, this.file)} of session "${this.session}": the token is that of "${this.by}". ${this.next}`
  }
}

/**
 * A name is taken, or none that a file may have.
 *
 * @since 0.1.0
 * @category errors
 */
export class FileNameInvalid extends Schema.TaggedError<FileNameInvalid>()("FileNameInvalid", {
  session: Schema.String,
  file: Schema.String
}) {
  get next(): string {
    return 'Use a name once, of 1 to 64 letters, digits and . _ : / @ + -, and not "manifest"'
  }
  override get message(): string {
    return `${JSON.stringify(this.file)} can't name another file of session "${this.session}". ${this.next}`
  }
}

/**
 * One file is there twice, as itself or through another descriptor; the kernel preserves a file once. Of a memfd all
 * descriptors are the same file; of other kinds those that were duplicated from one another.
 *
 * @since 0.1.0
 * @category errors
 */
export class FileTwice extends Schema.TaggedError<FileTwice>()("FileTwice", {
  session: Schema.String,
  file: Schema.String,
  other: Schema.Struct({ session: Schema.String, file: Schema.String })
}) {
  get next(): string {
    return "Preserve a file once"
  }
  override get message(): string {
    const where = this.other.session === this.session ? "" : ` of session "${this.other.session}"`
    return `"${this.file}" of session "${this.session}" is the same file as "${this.other.file}"${where}. ${this.next}`
  }
}

/**
 * The preservation takes no more files: it failed and was rolled back, or its manifest is written, which lists what there is.
 *
 * @since 0.1.0
 * @category errors
 */
export class PreservationClosed extends Schema.TaggedError<PreservationClosed>()("PreservationClosed", {
  session: Schema.String,
  state: Schema.Literal("rolled back", "complete")
}) {
  get next(): string {
    return this.state === "complete" ? "Extend it before that" : "Begin anew"
  }
  override get message(): string {
    return this.state === "complete"
      ? `Session "${this.session}" is complete: its manifest is written. ${this.next}`
      : `Session "${this.session}" was rolled back when a step of it, or of one that was opened with it, failed. ${this.next}`
  }
}

/**
 * The manifest of an incoming session lists other files than those that were asked for. Nothing was retrieved but the
 * manifest.
 *
 * @since 0.1.0
 * @category errors
 */
export class FilesDiffer extends Schema.TaggedError<FilesDiffer>()("FilesDiffer", {
  session: Schema.String,
  /** Asked for, and not there. */
  missing: Schema.Array(Schema.String),
  /** There, and not asked for: `finish` would throw them away. */
  unexpected: Schema.Array(Schema.String),
  otherKind: Schema.Array(Schema.Struct({ file: Schema.String, asked: Schema.String, found: Schema.String }))
}) {
  get next(): string {
    return "Nothing is lost: bring it back with the program that fits it"
  }
  override get message(): string {
    const parts = [
      ...(this.missing.length === 0 ? [] : [`without ${this.missing.join(", ")}`]),
      ...(this.unexpected.length === 0 ? [] : [`with ${this.unexpected.join(", ")}, which nobody asked for`]),
      ...this.otherKind.map(({ file, asked, found }) => `with ${file} as ${found} and not ${asked}`)
    ]
    return `Session "${this.session}" came ${parts.join("; ")}. ${this.next}`
  }
}
