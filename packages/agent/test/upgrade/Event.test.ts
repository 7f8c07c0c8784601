import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import * as Event from "../../src/upgrade/Event.ts"
import * as After from "../../src/upgrade/phases/After.ts"
import * as Before from "../../src/upgrade/phases/Before.ts"

const page = (path: string) => readFileSync(fileURLToPath(new URL(`../../../../${path}`, import.meta.url)), "utf8")

/** The rows of the table under a heading, cell by cell. */
const rows = (text: string, heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const section = text.slice(text.indexOf(`${heading}\n`) + heading.length).split(/\n#/)[0] ?? ""
  return section
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| --"))
    .slice(1)
    .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")))
}

const names = [...Before.phases, ...After.phases].map((phase): string => phase.name)

describe("what is documented of events and exit codes", () => {
  const text = page("docs/events.md")

  it("the steps, and the phase of each", () => {
    const documented = rows(text, "## Steps")
    assert.sameMembers(
      documented.map((cells) => cells[1] ?? ""),
      [...Event.Step.literals]
    )
    for (const [, step, phase = ""] of documented) assert.include([...names, "none", "that of its hook"], phase, step)
  })

  it("the results", () =>
    assert.sameMembers(
      rows(text, "## Results").map((cells) => cells[1] ?? ""),
      [...Event.OutcomeEvent.fields.result.literals]
    ))

  it("the fields", () => {
    const fields = [Event.StepEvent, Event.ClockEvent, Event.OutcomeEvent].flatMap((event) => Object.keys(event.fields))
    assert.sameMembers(
      rows(text, "# Events of a live update").map((cells) => cells[1] ?? ""),
      [...new Set(fields)]
    )
  })

  it("the exit codes", () => {
    const documented = rows(page("README.md"), "### Exit codes").flatMap((cells) =>
      (cells[1] ?? "").split(", ").map(Number)
    )
    assert.includeMembers(documented, Object.values(ExitCode))
    assert.sameMembers(documented, [...Object.values(ExitCode), 130, 143])
  })
})

describe("Event", () => {
  const event = {
    version: 1,
    run: "r",
    boot: "b",
    monotonic: 1.5,
    type: "step",
    step: "pause",
    status: "done",
    vm: "a"
  }

  it("reads what it knows of a line that has more", () =>
    assert.deepInclude(Event.parse(JSON.stringify({ ...event, later: true })), { step: "pause", vm: "a" }))

  it("a line that is torn, or of another version, is none", () => {
    assert.isUndefined(Event.parse(JSON.stringify(event).slice(0, -5)))
    assert.isUndefined(Event.parse(JSON.stringify({ ...event, version: 2 })))
  })
})
