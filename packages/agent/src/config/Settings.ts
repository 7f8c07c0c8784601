/**
 * Every setting of the `Configuration` with its names: the key in the file, and the variable of the environment, which is made of the key.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import * as NearestName from "../vmm/NearestName.ts"
import { type About, AboutId, Configuration, type Value } from "./Configuration.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Setting extends About {
  /** Names of the tables, and of the key in the last one. */
  readonly path: ReadonlyArray<string>
  /** `upgrade.max-pause` */
  readonly key: string
  /** `LIVEUPDATE_UPGRADE_MAX_PAUSE` */
  readonly variable: string
  /** How a text from the environment is to be read. */
  readonly kind: "text" | "number" | "boolean"
  /** The value, or what it has to be. */
  readonly decode: (value: unknown) => Either.Either<Value, string>
}

/**
 * Dots and dashes become underscores, and all of it capitals.
 *
 * @since 0.1.0
 * @category pure
 */
export const variableOf = (path: ReadonlyArray<string>): string =>
  ["LIVEUPDATE", ...path].join("_").replaceAll("-", "_").toUpperCase()

/**
 * A key as TOML writes it.
 *
 * @since 0.1.0
 * @category pure
 */
export const keyOf = (path: ReadonlyArray<string>): string =>
  path.map((name) => (/^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name))).join(".")

const kindOf = (ast: AST.AST): Setting["kind"] => {
  switch (ast._tag) {
    case "Refinement":
      return kindOf(ast.from)
    case "NumberKeyword":
      return "number"
    case "BooleanKeyword":
      return "boolean"
    default:
      return "text"
  }
}

const aboutOf = AST.getAnnotation<About>(AboutId)

const make = (path: ReadonlyArray<string>, ast: AST.AST, about: About): Setting => {
  const decode = ParseResult.decodeUnknownEither(Schema.make<Value, Value>(ast))
  return {
    ...about,
    path,
    key: keyOf(path),
    variable: variableOf(path),
    kind: kindOf(ast),
    decode: (value) => Either.mapLeft(decode(value), () => `has to be ${about.values}`)
  }
}

const walk = (ast: AST.AST, path: ReadonlyArray<string>): ReadonlyArray<Setting> =>
  Option.match(aboutOf(ast), {
    onSome: (about) => [make(path, ast, about)],
    onNone: () => AST.getPropertySignatures(ast).flatMap(({ name, type }) => walk(type, [...path, String(name)]))
  })

/**
 * All of them, in the order in which they are documented.
 *
 * @since 0.1.0
 * @category constants
 */
export const all: ReadonlyArray<Setting> = walk(Configuration.ast, [])

const byKey = new Map(all.map((setting) => [setting.key, setting]))

/**
 * @since 0.1.0
 * @category accessors
 */
export const get = (key: string): Setting | undefined => byKey.get(key)

/**
 * The tables that settings are in.
 *
 * @since 0.1.0
 * @category constants
 */
export const tables: ReadonlyArray<string> = [
  ...new Set(all.flatMap(({ path }) => path.slice(1).map((_, index) => keyOf(path.slice(0, index + 1)))))
]

const lastOf = (key: string): string => key.slice(key.lastIndexOf(".") + 1)

/** A key may be mistyped, or stand in the wrong table. */
const far = (name: string, known: string): number =>
  Math.min(NearestName.distance(name, known), NearestName.distance(lastOf(name), lastOf(known)) + 1)

/**
 * What is wrong with a key that there is not.
 *
 * @since 0.1.0
 * @category pure
 */
export const unknownKey = (key: string): string =>
  `is no known key; the nearest one is "${NearestName.nearest(key, [...byKey.keys(), ...tables], far)}"`

/**
 * What is wrong with a variable that there is not.
 *
 * @since 0.1.0
 * @category pure
 */
export const unknownVariable = (variable: string): string =>
  `is no known variable; the nearest one is ${NearestName.nearest(
    variable,
    all.map((setting) => setting.variable)
  )}`
