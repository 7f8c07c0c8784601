import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import * as Reference from "../../src/cli/Reference.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as ManPage from "../../tools/ManPage.ts"

const file = (path: string) => readFileSync(fileURLToPath(new URL(`../../../../${path}`, import.meta.url)), "utf8")

describe("the man page", () => {
  const text = file("packages/agent/man/agent.1")

  it("is made of the commands as they are", () => assert.strictEqual(text, ManPage.text(file("README.md"))))

  /** What somebody reads: bold, and dashes that can be copied, are roff's. */
  const read = text.replaceAll(/\\f[BIR]/g, "").replaceAll("\\-", "-")

  /** What stands under a heading. */
  const section = (heading: string): string => {
    const begin = read.indexOf(`\n${heading}\n`)
    assert.isAbove(begin, 0, heading)
    return read.slice(begin + heading.length + 2).split(/\n\.S[HS] /)[0] ?? ""
  }

  it("every command, with each of its options and arguments", () => {
    for (const { path, options, arguments: args } of Reference.commands()) {
      if (path.length === 0) continue
      const lines = section(`.SS ${["agent", ...path].join(" ")}`).split("\n")
      for (const { names, description } of [...options, ...args]) {
        const at = lines.findIndex((line) => line.split(/[ ,]/).includes(names[0] ?? "") && !line.startsWith("agent "))
        assert.isAtLeast(at, 0, [...path, ...names].join(" "))
        assert.isNotEmpty(description)
      }
    }
    for (const { names } of Reference.builtIns())
      for (const name of names) assert.include(section(".SH OPTIONS OF EVERY COMMAND"), name)
  })

  it("every exit code, key and variable", () => {
    const codes = section(".SH EXIT STATUS")
    for (const code of [...Object.values(ExitCode), 130, 143])
      assert.match(codes, new RegExp(`^(\\d+, )?${code}\\b`, "m"))
    const settings = section(".SH CONFIGURATION")
    for (const { key, variable } of Settings.all) assert.include(settings, `${key}, ${variable}\n`)
  })

  it("nothing in it is taken for a request of roff by accident", () => {
    const requests = [".TH", ".SH", ".SS", ".PP", ".TP", ".nh", ".hy", ".ad", '.\\"']
    for (const line of text.split("\n").filter((line) => /^[.']/.test(line)))
      assert.isTrue(
        requests.some((request) => line === request || line.startsWith(`${request} `)),
        line
      )
  })
})
