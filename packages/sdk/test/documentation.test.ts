import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Docstrings from "../tools/Docstrings.ts"
import * as Pages from "../tools/Pages.ts"
import * as PublicApi from "../tools/PublicApi.ts"

const directory = PublicApi.findPackage(import.meta.dirname)
const workspace = join(directory, "../..")

describe("documentation", () => {
  let api: PublicApi.Api
  beforeAll(() => {
    api = PublicApi.read(directory)
  }, 120_000)

  it("says of every export what it is, since when, and where it belongs", () => {
    assert.deepStrictEqual(Docstrings.problems(api), [])
  }, 60_000)

  it("sees what is missing", () => {
    const place = mkdtempSync(join(tmpdir(), "liveupdate-docs-"))
    try {
      mkdirSync(join(place, "src"))
      writeFileSync(join(place, "tsconfig.json"), JSON.stringify({ include: ["src"], compilerOptions: { types: [] } }))
      writeFileSync(join(place, "src/index.ts"), 'export * as A from "./A"\n')
      writeFileSync(
        join(place, "src/A.ts"),
        `/** A module. */
/** No category. @since 0.1.0 */
export const one = 1
/**
 * @since 0.1.0
 * @category models
 */
export interface Two {
  readonly bytes: number
  readonly name: string
  /** Bytes. */
  readonly more: number
}
export type Three = string
interface Effect<A, E> { readonly a: A; readonly e: E }
/**
 * An error.
 * @since 0.1.0
 * @category errors
 */
export class Wrong {}
/**
 * Does something.
 * @since 0.1.0
 * @category operations
 */
export const four = (): Effect<void, Wrong> => ({ a: undefined, e: {} })
`
      )
      assert.deepStrictEqual(Docstrings.problems(PublicApi.read(place, [])), [
        "src/A.ts: the module lacks a docstring with a sentence and @since",
        "src/A.ts: A.one lacks one @category",
        "src/A.ts: A.Two lacks a sentence",
        "src/A.ts: A.Two: its member bytes lacks a sentence",
        "src/A.ts: A.Three lacks a docstring",
        "src/A.ts: A.Three lacks a sentence",
        'src/A.ts: A.four does not say what it "Fails with"'
      ])
    } finally {
      rmSync(place, { recursive: true })
    }
  }, 60_000)

  it("knows every error that the SDK exports", () => {
    assert.deepStrictEqual(Pages.problems(api), [])
  })

  it("lists exactly the modules that can be imported", () => {
    const { resolve } = createRequire(import.meta.url)
    const canImport = (path: string): boolean => {
      try {
        return resolve(`@liveupdate/sdk/${path}`) !== ""
      } catch {
        return false
      }
    }
    const sources = readdirSync(join(directory, "src"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => name.slice(0, -".ts".length))
    assert.deepStrictEqual(sources.filter(canImport).sort(), api.modules.map(({ name }) => name).sort())
  })

  it("is up to date where it is made from the code (npm run docs)", () => {
    for (const { path, text } of Pages.all(api, workspace))
      assert.strictEqual(readFileSync(join(workspace, path), "utf8"), text, path)
  })
})
