import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"

const examples = dirname(import.meta.dirname)
const src = join(examples, "src")

/** An example is a folder; the files beside them are older than this layout. */
const folders = readdirSync(src).filter((name) => statSync(join(src, name)).isDirectory())

const MOST_LINES = 120

const filesOf = (folder: string) =>
  readdirSync(join(src, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(src, folder, name)).isFile())
    .sort()

/** What somebody has to read to understand it: without blank lines, comments and prose. */
const linesOfCode = (name: string, text: string): number => {
  if (name.endsWith(".md")) return 0
  const code = name.endsWith(".ts") ? text.replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, "") : text
  const comment = name.endsWith(".ts") ? /^\s*\/\// : /^\s*#/
  return code.split("\n").filter((line) => line.trim() !== "" && !comment.test(line)).length
}

const read = (folder: string, name: string) => readFileSync(join(src, folder, name), "utf8")

describe("examples", () => {
  it("lines are counted without blank lines and comments", () => {
    assert.strictEqual(linesOfCode("a.ts", "/** one\n * two */\n\nconst a = 1 // three\n// four\nconst b = 2\n"), 2)
    assert.strictEqual(linesOfCode("a.sh", "#!/bin/sh\n# one\n\nip link\n"), 1)
    assert.strictEqual(linesOfCode("README.md", "one\n"), 0)
  })

  it.each(folders)("%s has a README that says for whom it is, and how it is run", (folder) => {
    const readme = read(folder, "README.md")
    assert.match(readme, /^# .+\n\nFor you if /)
    assert.match(readme, /^```sh\n/m)
    assert.include(readme, `../../test/${folder}.test.ts`)
  })

  it.each(folders)(`%s has less than ${MOST_LINES} lines of code of its own`, (folder) => {
    const lines = filesOf(folder).map((name) => linesOfCode(name, read(folder, name)))
    assert.isBelow(
      lines.reduce((sum, count) => sum + count, 0),
      MOST_LINES
    )
  })

  it.each(folders)("%s is run by a test of its name", (folder) => {
    const test = join(examples, "test", `${folder}.test.ts`)
    assert.isTrue(existsSync(test), test)
    assert.include(readFileSync(test, "utf8"), `../src/${folder}/`)
  })

  it.each(folders)("%s is in the list of README.md", (folder) => {
    assert.include(readFileSync(join(examples, "../../README.md"), "utf8"), `(packages/examples/src/${folder})`)
  })
})
