import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { ExitCode } from "@liveupdate/agent/cli/ExitCode"
import * as Event from "@liveupdate/agent/upgrade/Event"

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), "utf8")

const runbook = read("docs/runbook.md")

/** Of the signals that end it: 128 and the signal's number. */
const signals = [130, 143]

/** The first cells of a table's rows. */
const rows = (text: string) => [...text.matchAll(/^ *\| `?([\w-]+)`? +\|/gm)].map(([, cell]) => cell)

describe("the runbook", () => {
  it("says of every exit code what it asks for", () => {
    const [, after = ""] = runbook.split("## What each exit code asks for")
    const codes = [...new Set(rows(after).map(Number))].filter((code) => !Number.isNaN(code))
    assert.sameMembers(codes, [...Object.values(ExitCode), ...signals])
  })

  it("says of every outcome what to do", () => {
    const [, after = ""] = runbook.split("## After")
    const outcomes = Event.OutcomeEvent.fields.result.literals
    assert.includeMembers(rows(after), [...outcomes])
  })

  it("knows every exit code that README.md knows", () => {
    const [, after = ""] = read("README.md").split("### Exit codes")
    const [table = ""] = after.split("\n## ")
    const codes = [...table.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, cell = ""]) => cell.split(", ").map(Number))
    assert.sameMembers(codes, [...Object.values(ExitCode), ...signals])
  })
})
