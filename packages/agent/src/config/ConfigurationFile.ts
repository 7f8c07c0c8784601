/**
 * Reads `agent.toml`: who may write it, what it says, and in which line.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { parse as parseToml, TomlError } from "smol-toml"
import { codeOf, firstLineOf } from "../vmm/SystemError.ts"
import {
  ConfigurationInvalid,
  ConfigurationUnreadable,
  ConfigurationUnsafe,
  type Problem
} from "./ConfigurationError.ts"
import type { Said } from "./Origin.ts"
import * as Settings from "./Settings.ts"
import * as TomlLines from "./TomlLines.ts"

/**
 * The host's own. Without it everything is as the environment or the defaults say.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultPath = "/etc/liveupdate/agent.toml"

/** `S_IWGRP | S_IWOTH`; with an ACL the group's bits are its mask, so whomever it lets write is seen here too. */
const WRITABLE_BY_OTHERS = 0o022
/** `S_ISVTX`: in such a directory nobody takes away what is another one's. */
const STICKY = 0o1000

/**
 * What of a file or directory lets somebody else than root, or than the one who runs the agent, decide what is in it.
 *
 * @since 0.1.0
 * @category pure
 */
export const weakness = (
  { mode, uid }: Pick<Fs.Stats, "mode" | "uid">,
  kind: "file" | "directory",
  self: number
): { readonly reason: string; readonly next: (path: string) => string } | undefined => {
  if (uid !== 0 && uid !== self) return { reason: `belongs to the user ${uid}`, next: (path) => `chown root ${path}` }
  if ((mode & WRITABLE_BY_OTHERS) === 0 || (kind === "directory" && (mode & STICKY) !== 0)) return undefined
  return {
    reason: `has the mode ${(mode & 0o7777).toString(8).padStart(4, "0")}`,
    next: (path) => `chmod go-w ${path}`
  }
}

const ancestors = (path: string): ReadonlyArray<string> => {
  const parent = Path.dirname(path)
  return parent === path ? [] : [parent, ...ancestors(parent)]
}

const attempt = <A>(path: string, run: () => A): Effect.Effect<A, ConfigurationUnreadable> =>
  Effect.try({ try: run, catch: (error) => new ConfigurationUnreadable({ path, code: codeOf(error) }) })

const checkSafe = (path: string, file: Fs.Stats): Effect.Effect<void, ConfigurationUnreadable | ConfigurationUnsafe> =>
  Effect.gen(function* () {
    const self = process.geteuid?.() ?? 0
    // A link can be replaced where it is, and the file where that is.
    const directories = yield* attempt(path, () =>
      [...new Set([...ancestors(Path.resolve(path)), ...ancestors(Fs.realpathSync(path))])].map(
        (directory) => [directory, Fs.statSync(directory), "directory"] as const
      )
    )
    for (const [culprit, stat, kind] of [[path, file, "file"] as const, ...directories]) {
      const weak = weakness(stat, kind, self)
      if (weak !== undefined)
        return yield* new ConfigurationUnsafe({ path, culprit, reason: weak.reason, next: weak.next(culprit) })
    }
  })

/** What is looked at is what is read: the file is opened once. A pipe must not keep the agent waiting. */
const readSafely = (path: string) =>
  Effect.acquireUseRelease(
    attempt(path, () => Fs.openSync(path, Fs.constants.O_RDONLY | Fs.constants.O_NONBLOCK)),
    (fd) =>
      Effect.gen(function* () {
        const stat = yield* attempt(path, () => Fs.fstatSync(fd))
        if (!stat.isFile()) return yield* new ConfigurationUnreadable({ path, code: "it is not a file" })
        yield* checkSafe(path, stat)
        return yield* attempt(path, () => Fs.readFileSync(fd, "utf8"))
      }),
    (fd) => Effect.sync(() => Fs.closeSync(fd))
  )

const syntaxProblem = (path: string, error: unknown): Problem => {
  const problem = firstLineOf(error)
  return error instanceof TomlError
    ? { where: `${path}:${error.line}:${error.column}`, problem }
    : { where: path, problem }
}

/**
 * What the text of a file says, in its order; or everything that is wrong with it.
 *
 * @since 0.1.0
 * @category decoding
 */
export const parse = (source: string, path: string): Either.Either<ReadonlyArray<Said>, ConfigurationInvalid> =>
  Either.gen(function* () {
    const tree = yield* Either.try({
      try: (): unknown => parseToml(source),
      catch: (error) => new ConfigurationInvalid({ problems: [syntaxProblem(path, error)] })
    })
    const lineOf = TomlLines.of(source)
    const said: Array<Said> = []
    const problems: Array<Problem & { readonly line: number }> = []
    const visit = (value: unknown, at: ReadonlyArray<string>): void => {
      const [key, line] = [Settings.keyOf(at), lineOf(at)]
      const report = (problem: string) =>
        problems.push({ where: `${path}:${line}`, problem: `${key} ${problem}`, line })
      const setting = Settings.get(key)
      if (setting !== undefined) {
        const decoded = setting.decode(value)
        if (Either.isLeft(decoded)) report(decoded.left)
        else said.push({ key, value: decoded.right, origin: { _tag: "file", path, line } })
      } else if (at.length > 0 && !Settings.tables.includes(key)) report(Settings.unknownKey(key))
      else if (!TomlLines.isTable(value)) report(`has to be a table: [${key}]`)
      else for (const [name, inner] of Object.entries(value)) visit(inner, [...at, name])
    }
    visit(tree, [])
    const inOrder = problems.sort((a, b) => a.line - b.line).map(({ where, problem }): Problem => ({ where, problem }))
    if (Arr.isNonEmptyArray(inOrder)) return yield* Either.left(new ConfigurationInvalid({ problems: inOrder }))
    return said
  })

/**
 * Reads it. Fails when it isn't there, when others than root may change it, and when anything in it isn't understood.
 *
 * @since 0.1.0
 * @category operations
 */
export const read = Effect.fn("ConfigurationFile.read")(function* (path: string) {
  return yield* parse(yield* readSafely(path), path)
})

/**
 * The same of the host's own, which may be missing.
 *
 * @since 0.1.0
 * @category operations
 */
export const readDefault = (path: string = defaultPath) =>
  Effect.catchIf(
    read(path),
    (error) => error._tag === "ConfigurationUnreadable" && error.code === "ENOENT",
    () => Effect.succeed<ReadonlyArray<Said>>([])
  )
