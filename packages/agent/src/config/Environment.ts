/**
 * What the environment says: one variable for each setting.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Problem } from "./ConfigurationError.ts"
import type { Said } from "./Origin.ts"
import * as Settings from "./Settings.ts"

/** A text that is no number stays one: the setting then says what it has to be. */
const valueOf = (text: string, kind: Settings.Setting["kind"]): unknown => {
  if (kind === "boolean") return text === "true" ? true : text === "false" ? false : text
  if (kind === "number") return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text
  return text
}

/** Of a variable that isn't set, nothing; the only other failure is of providers that read elsewhere. */
const textOf = (variable: string) => Effect.orDie(Config.option(Config.string(variable)))

/** Names of variables below a prefix: providers know them as a tree. */
const below = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.flatMap(Effect.orDie(provider.flattened.enumerateChildren(path)), (children) =>
    [...children].length === 0
      ? Effect.succeed([path.join("_")])
      : Effect.map(
          Effect.forEach(children, (child) => below(provider, [...path, child])),
          (names) => names.flat()
        )
  )

const sections: ReadonlyArray<ReadonlyArray<string>> = Settings.tables
  .filter((table) => !table.includes("."))
  .map((table) => Settings.variableOf([table]).split("_"))

const known = new Set(Settings.all.map(({ variable }) => variable))

/** Hooks and checks of the operator's have variables of their own, `LIVEUPDATE_RUN`: only what begins like a setting is meant as one. */
const unknown = Effect.gen(function* () {
  const provider = yield* Effect.configProviderWith(Effect.succeed)
  const names = yield* Effect.forEach(sections, (section) =>
    Effect.map(below(provider, section), (names) => names.filter((name) => name !== section.join("_")))
  )
  return names
    .flat()
    .filter((name) => !known.has(name))
    .sort()
})

/**
 * What is set, in the order of the settings, and everything that is wrong with it.
 *
 * @since 0.1.0
 * @category operations
 */
export const read: Effect.Effect<{ readonly said: ReadonlyArray<Said>; readonly problems: ReadonlyArray<Problem> }> =
  Effect.gen(function* () {
    const said: Array<Said> = []
    const problems: Array<Problem> = (yield* unknown).map((variable) => ({
      where: variable,
      problem: Settings.unknownVariable(variable)
    }))
    for (const { key, variable, kind, decode } of Settings.all) {
      const text = yield* textOf(variable)
      if (Option.isNone(text)) continue
      const decoded = decode(valueOf(text.value, kind))
      if (Either.isLeft(decoded)) problems.push({ where: variable, problem: decoded.left })
      else said.push({ key, value: decoded.right, origin: { _tag: "environment", variable } })
    }
    return { said, problems }
  }).pipe(Effect.withSpan("Environment.read"))

/**
 * The file that the environment names.
 *
 * @since 0.1.0
 * @category operations
 */
export const file: Effect.Effect<Option.Option<string>> = textOf("LIVEUPDATE_CONFIG")
