import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Configuration } from "../../src/config/Configuration.ts"
import * as ConfigurationFile from "../../src/config/ConfigurationFile.ts"
import * as Effective from "../../src/config/Effective.ts"
import * as Settings from "../../src/config/Settings.ts"

const page = (path: string) => readFileSync(fileURLToPath(new URL(`../../../../${path}`, import.meta.url)), "utf8")

describe("the settings", () => {
  it("have names that are made of their keys, and no two the same", () => {
    assert.strictEqual(Settings.variableOf(["upgrade", "max-pause"]), "LIVEUPDATE_UPGRADE_MAX_PAUSE")
    for (const names of [Settings.all.map((_) => _.key), Settings.all.map((_) => _.variable)])
      assert.strictEqual(new Set(names).size, names.length)
    // LIVEUPDATE_CONFIG names the file: no table may be called so.
    assert.notInclude(Settings.tables, "config")
  })

  it("have defaults that they would take", () => {
    for (const { key, decode, default: value } of Settings.all)
      assert.deepStrictEqual(decode(value), Either.right(value), key)
    assert.isTrue(Schema.is(Configuration)(Effective.defaults))
  })

  it("say of a wrong value what it has to be", () => {
    for (const { key, decode, values } of Settings.all)
      for (const wrong of [undefined, null, [], {}, Number.NaN, -1, "", "\n"])
        assert.deepStrictEqual(decode(wrong), Either.left(`has to be ${values}`), `${key} = ${String(wrong)}`)
  })
})

describe("what is documented of them", () => {
  const text = page("docs/configuration.md")

  it("every key, with its variable and flag, and no other", () => {
    const documented = text
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .map((line) => line.split(" | ").map((cell) => cell.replace(/^\|?\s*|[\s|]*$/g, "")))
    assert.deepStrictEqual(
      documented.map(([key, , values, , variable, flag]) => [key, values, variable, flag]),
      Settings.all.map(({ key, values, variable, flag }) => [
        `\`${key}\``,
        values,
        `\`${variable}\``,
        flag === undefined ? "" : `\`${flag.name}\` (${flag.of})`
      ])
    )
  })

  it("examples that would be taken", () => {
    const blocks = ["docs/configuration.md", "README.md"].flatMap((path) =>
      [...page(path).matchAll(/^```toml\n(\[upgrade\][^`]*)^```/gm)].map(([, block = ""]) => block)
    )
    assert.lengthOf(blocks, 2)
    for (const block of blocks) assert.isTrue(Either.isRight(ConfigurationFile.parse(block, "agent.toml")), block)
  })
})
