import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Docstrings from "../tools/Docstrings.ts"
import * as PublicApi from "../tools/PublicApi.ts"

describe("documentation", () => {
  let api: PublicApi.Api
  beforeAll(() => {
    api = PublicApi.read(PublicApi.findPackage(import.meta.dirname))
  }, 120_000)

  it("says of every export what it is, since when, and where it belongs", () => {
    assert.deepStrictEqual(Docstrings.problems(api), [])
  })
})
