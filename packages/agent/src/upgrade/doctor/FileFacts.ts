/**
 * Facts that are files.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import { absent, type Fact, known, unknown } from "./Facts.ts"

/**
 * What `look` finds at a path.
 *
 * @since 0.1.0
 * @category constructors
 */
export const at = <A>(path: string, look: () => A): Fact<A> => {
  try {
    return known(look())
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error)
    return code === "ENOENT" || code === "ENOTDIR" ? absent(path) : unknown(`${path} can't be read (${code})`)
  }
}

/**
 * The file's text, without white space around it; a byte is a character.
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (path: string): Fact<string> => at(path, () => Fs.readFileSync(path, "latin1").trim())
