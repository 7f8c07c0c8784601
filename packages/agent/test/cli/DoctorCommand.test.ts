import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as DoctorCommand from "../../src/cli/DoctorCommand.ts"
import type { Format } from "../../src/cli/Output.ts"
import * as Doctor from "../../src/upgrade/Doctor.ts"
import { known } from "../../src/upgrade/doctor/Facts.ts"
import { Check, type Finding } from "../../src/upgrade/doctor/Finding.ts"
import { healthy } from "../upgrade/doctor/facts.ts"

const findings: ReadonlyArray<Finding> = [
  { check: "root", verdict: "ok", detail: "runs as root" },
  { check: "device-holder", verdict: "fail", detail: "it is open in vmmd (pid 812)", next: "Wait for it" },
  { check: "abi", verdict: "unknown", detail: "no debugfs", next: "Mount it" }
]

/** What goes to stdout, and the exit code. */
const shown = (format: Format, what: ReadonlyArray<Finding>) =>
  Effect.gen(function* () {
    const write = vi.spyOn(process.stdout, "write").mockReturnValue(true)
    const exit = yield* Effect.either(DoctorCommand.show(format, what))
    const stdout = write.mock.calls.map(([text]) => String(text)).join("")
    write.mockRestore()
    return { code: Either.isLeft(exit) ? exit.left.code : 0, stdout }
  })

afterEach(() => void vi.restoreAllMocks())

describe("agent doctor", () => {
  it.effect("text: one aligned line for each check, what to do under it, and what it comes to", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* shown("human", findings)
      assert.strictEqual(
        stdout,
        [
          "ok       root             runs as root",
          "fail     device-holder    it is open in vmmd (pid 812)",
          "                          → Wait for it",
          "unknown  abi              no debugfs",
          "                          → Mount it",
          "",
          "This host is not ready for a live update: 1 ok, 1 fail, 1 unknown. Failed: device-holder",
          ""
        ].join("\n")
      )
      assert.strictEqual(code, 5)
    })
  )

  it.effect("ndjson: an object for each finding, and a summary", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* shown("ndjson", findings)
      const lines = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
      assert.deepStrictEqual(lines, [
        ...findings.map((finding) => ({ version: 1, type: "finding", ...finding })),
        {
          version: 1,
          type: "summary",
          verdict: "fail",
          counts: { ok: 1, warn: 0, fail: 1, unknown: 1 },
          failed: ["device-holder"]
        }
      ])
      assert.strictEqual(code, 5)
    })
  )

  it.effect("warnings and what is unknown: exit code 0", () =>
    Effect.gen(function* () {
      const judged = Doctor.judge({ ...healthy, kexecLoaded: known("1") })
      const { code, stdout } = yield* shown("human", judged)
      assert.include(
        stdout,
        `\nNothing was found that a live update would fail on: ${Check.literals.length - 1} ok, 1 warn\n`
      )
      assert.strictEqual(code, 0)
    })
  )

  it.effect("all well: exit code 0", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* shown("human", Doctor.judge(healthy))
      assert.include(stdout, `\nThis host is ready for a live update: ${Check.literals.length} ok\n`)
      assert.strictEqual(code, 0)
    })
  )
})
