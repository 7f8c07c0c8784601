/**
 * What is true for a call: a flag before the environment, that before the file, that before the default; and where each value comes from.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Configuration, type Value } from "./Configuration.ts"
import { type ConfigurationError, ConfigurationInvalid, type Problem } from "./ConfigurationError.ts"
import * as ConfigurationFile from "./ConfigurationFile.ts"
import * as Environment from "./Environment.ts"
import { type Origin, render, type Said } from "./Origin.ts"
import * as Settings from "./Settings.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Entry {
  readonly key: string
  readonly value: Value
  readonly origin: Origin
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Effective {
  readonly configuration: Configuration
  /** Each setting, in the order in which they are documented. */
  readonly entries: ReadonlyArray<Entry>
}

/**
 * What a flag says about a setting.
 *
 * @since 0.1.0
 * @category constructors
 */
export const flag = (key: string, name: string, value: Value): Said => ({
  key,
  value,
  origin: { _tag: "flag", flag: name }
})

/** `["a", "b"]` and 1 → `{ a: { b: 1 } }`, in what is there already. */
const put = (tree: Map<string, unknown>, [name = "", ...rest]: ReadonlyArray<string>, value: Value): void => {
  if (rest.length === 0) return void tree.set(name, value)
  const inner = tree.get(name)
  const table = inner instanceof Map ? inner : new Map<string, unknown>()
  tree.set(name, table)
  put(table, rest, value)
}

const asObject = (value: unknown): unknown =>
  value instanceof Map ? Object.fromEntries([...value].map(([name, inner]) => [String(name), asObject(inner)])) : value

/** Every value was decoded by itself: what doesn't fit now is a bug. */
const configurationOf = (entries: ReadonlyArray<Entry>): Configuration => {
  const tree = new Map<string, unknown>()
  for (const { key, value } of entries) put(tree, Settings.get(key)?.path ?? [key], value)
  return Schema.decodeUnknownSync(Configuration)(asObject(tree))
}

/**
 * Joins what was said; of two that speak of the same setting the later one counts.
 *
 * @since 0.1.0
 * @category constructors
 */
export const join = (said: ReadonlyArray<Said>): Either.Either<Effective, ConfigurationInvalid> => {
  const last = new Map(said.map((one) => [one.key, one]))
  const problems: Array<Problem> = []
  const entries = Settings.all.map(({ key, decode, default: byDefault }): Entry => {
    const one = last.get(key)
    if (one === undefined) return { key, value: byDefault, origin: { _tag: "default" } }
    const decoded = decode(one.value)
    if (Either.isLeft(decoded)) problems.push({ where: render(one.origin), problem: decoded.left })
    return { key, value: Either.getOrElse(decoded, () => byDefault), origin: one.origin }
  })
  return Arr.isNonEmptyArray(problems)
    ? Either.left(new ConfigurationInvalid({ problems }))
    : Either.right({ configuration: configurationOf(entries), entries })
}

/**
 * What nobody has said anything about.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaults: Configuration = configurationOf(
  Settings.all.map(({ key, default: value }) => ({ key, value, origin: { _tag: "default" } }))
)

interface FromFile {
  readonly said: ReadonlyArray<Said>
  readonly problems: ReadonlyArray<Problem>
}

/**
 * Reads the file that a flag or `LIVEUPDATE_CONFIG` names, or the host's own if it is there, and the environment. A file that was named has
 * to be there.
 *
 * @since 0.1.0
 * @category operations
 */
export const load = (
  file: Option.Option<string>,
  flags: ReadonlyArray<Said> = []
): Effect.Effect<Effective, ConfigurationError> =>
  Effect.gen(function* () {
    const path = Option.isSome(file) ? file : yield* Environment.file
    const fromFile = yield* (
      Option.isSome(path) ? ConfigurationFile.read(path.value) : ConfigurationFile.readDefault()
    ).pipe(
      Effect.map((said): FromFile => ({ said, problems: [] })),
      // What is wrong with the environment is said along with it.
      Effect.catchTag("ConfigurationInvalid", ({ problems }) => Effect.succeed<FromFile>({ said: [], problems }))
    )
    const fromEnvironment = yield* Environment.read
    const problems = [...fromFile.problems, ...fromEnvironment.problems]
    if (Arr.isNonEmptyArray(problems)) return yield* new ConfigurationInvalid({ problems })
    return yield* join([...fromFile.said, ...fromEnvironment.said, ...flags])
  }).pipe(Effect.withSpan("Effective.load"))

/**
 * The deadlines of phases that somebody has set: the handover carries those, and no others.
 *
 * @since 0.1.0
 * @category accessors
 */
export const deadlines = ({ configuration, entries }: Effective): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(configuration.upgrade.deadlines).filter(([phase]) =>
      entries.some(({ key, origin }) => key === `upgrade.deadlines.${phase}` && origin._tag !== "default")
    )
  )
