/**
 * What node-exporter's textfile collector reads: a file that is never seen half-written.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as ReplacedFile from "../vmm/ReplacedFile.ts"
import { codeOf } from "../vmm/SystemError.ts"

/** node-exporter is another user. */
const MODE = 0o644

const next: Readonly<Record<string, string>> = {
  ENOENT: "Make its directory first",
  EACCES: "Run as root",
  EROFS: "Let the unit write there: ReadWritePaths= in a drop-in of liveupdate-publish.service"
}

/**
 * The file system refused; what was there is there still.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotWritten extends Data.TaggedError("NotWritten")<{ readonly path: string; readonly code: string }> {
  override get message(): string {
    return `${this.path} can't be written: ${this.code}. ${next[this.code] ?? "Look at the file system it is on"}`
  }
}

/**
 * Puts a text in the place of a file, with any mode.
 *
 * @since 0.1.0
 * @category operations
 */
export const replace = (path: string, text: string, mode: number = MODE): Effect.Effect<void, NotWritten> =>
  Effect.try({
    try: () => ReplacedFile.write(path, text, mode),
    catch: (error) => new NotWritten({ path, code: codeOf(error) })
  })
