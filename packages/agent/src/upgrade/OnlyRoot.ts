/**
 * Whether root alone decides what is in a file that root obeys: its owner and mode, and those of every directory on the way to it.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

/** `S_IWGRP | S_IWOTH`; with an ACL the group's bits are its mask, so whomever it lets write is seen here too. */
const WRITABLE_BY_OTHERS = 0o022
/** `S_ISVTX`: in such a directory nobody takes away what is another one's. */
const STICKY = 0o1000

/**
 * What lets somebody else decide, and what to do about it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Weakness {
  /** The file or directory that is the matter. */
  readonly culprit: string
  readonly reason: string
  readonly next: string
}

/**
 * Of a thing whose content counts, or of a directory that only leads to it: there others may have things of their own.
 *
 * @since 0.1.0
 * @category models
 */
export type Role = "content" | "way"

/**
 * What of it lets somebody else than root, or than `self` who runs the agent, decide.
 *
 * @since 0.1.0
 * @category pure
 */
export const weaknessOf = (
  culprit: string,
  { mode, uid }: Pick<Fs.Stats, "mode" | "uid">,
  role: Role,
  self: number
): Weakness | undefined => {
  if (uid !== 0 && uid !== self) return { culprit, reason: `belongs to the user ${uid}`, next: `chown root ${culprit}` }
  if ((mode & WRITABLE_BY_OTHERS) === 0 || (role === "way" && (mode & STICKY) !== 0)) return undefined
  return {
    culprit,
    reason: `has the mode ${(mode & 0o7777).toString(8).padStart(4, "0")}`,
    next: `chmod go-w ${culprit}`
  }
}

const namesOf = (path: string): ReadonlyArray<string> => path.split("/").filter((name) => name !== "" && name !== ".")

/** Directories in which a name on the way is looked up, those that links lead through too. The path has been opened: its links end. */
const wayTo = (path: string): ReadonlyArray<string> => {
  const walk = (at: string, [name, ...others]: ReadonlyArray<string>): ReadonlyArray<string> => {
    if (name === undefined) return []
    if (name === "..") return walk(Path.dirname(at), others)
    const next = Path.join(at, name)
    if (!Fs.lstatSync(next).isSymbolicLink()) return [at, ...walk(next, others)]
    const target = Fs.readlinkSync(next)
    return [at, ...walk(Path.isAbsolute(target) ? "/" : at, [...namesOf(target), ...others])]
  }
  return [...new Set(walk("/", namesOf(Path.resolve(path))))]
}

/**
 * Looks at it and at the way to it, from the thing itself down to the root; throws what the system says where it can't look. Whoever has it
 * open gives its `stat`, so that what is looked at is what is read.
 *
 * @since 0.1.0
 * @category operations
 */
export const weakness = (path: string, stat: Fs.Stats = Fs.statSync(path)): Weakness | undefined => {
  const self = process.geteuid?.() ?? 0
  const own = weaknessOf(path, stat, "content", self)
  if (own !== undefined) return own
  for (const directory of [...wayTo(path)].reverse()) {
    const weak = weaknessOf(directory, Fs.statSync(directory), "way", self)
    if (weak !== undefined) return weak
  }
  return undefined
}
