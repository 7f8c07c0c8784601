/**
 * Reads `agent.toml`: who may write it, what it says, and in which line.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { parse as parseToml, TomlError } from "smol-toml"
import * as OnlyRoot from "../upgrade/OnlyRoot.ts"
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

const attempt = <A>(path: string, run: () => A): Effect.Effect<A, ConfigurationUnreadable> =>
  Effect.try({ try: run, catch: (error) => new ConfigurationUnreadable({ path, code: codeOf(error) }) })

const checkSafe = (path: string, file: Fs.Stats): Effect.Effect<void, ConfigurationUnreadable | ConfigurationUnsafe> =>
  Effect.flatMap(
    attempt(path, () => OnlyRoot.weakness(path, file)),
    (weakness) => (weakness === undefined ? Effect.void : new ConfigurationUnsafe({ path, ...weakness }))
  )

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
