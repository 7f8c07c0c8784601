import { readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
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
  })

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
