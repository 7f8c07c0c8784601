import * as Fs from "node:fs"
import { dirname } from "node:path"
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ExitCode, fromError } from "../../src/cli/ExitCode.ts"
import * as ReportCommand from "../../src/cli/ReportCommand.ts"
import * as RunLog from "../../src/upgrade/RunLog.ts"
import * as Report from "../../src/upgrade/report/Report.ts"
import { recorded } from "../report/runs.ts"
import * as Temporary from "../Temporary.ts"

/** A directory of runs, all with the same log. */
const withRuns = (...runs: ReadonlyArray<string>) =>
  Effect.tap(Temporary.directory, (directory) =>
    Effect.sync(() => {
      for (const run of runs) {
        const file = RunLog.fileOf(run, directory)
        Fs.mkdirSync(dirname(file))
        Fs.writeFileSync(file, recorded)
      }
    })
  )

/** What goes to stdout. */
const shown = (run: string | undefined, format: ReportCommand.Format, directory: string) =>
  Effect.gen(function* () {
    const write = vi.spyOn(process.stdout, "write").mockReturnValue(true)
    yield* ReportCommand.show(Option.fromNullable(run), format, directory)
    const stdout = write.mock.calls.map(([text]) => String(text)).join("")
    write.mockRestore()
    return stdout
  })

afterEach(() => void vi.restoreAllMocks())

describe("agent report", () => {
  it.scoped("the last run, unless one is named", () =>
    Effect.gen(function* () {
      const directory = yield* withRuns("20260101T000000Z-1", "20260102T000000Z-1")
      assert.include(yield* shown(undefined, "table", directory), "Run 20260102T000000Z-1: upgraded")
      assert.include(yield* shown("20260101T000000Z-1", "table", directory), "Run 20260101T000000Z-1: upgraded")
    })
  )

  it.scoped("each format is all that is on stdout", () =>
    Effect.gen(function* () {
      const directory = yield* withRuns("r")
      const json = Schema.decodeUnknownSync(Report.Report)(JSON.parse(yield* shown("r", "json", directory)))
      assert.strictEqual(json.vms.length, 3)
      assert.match(yield* shown("r", "html", directory), /^<!doctype html>\n.*<\/html>\n$/s)
      assert.match(yield* shown("r", "svg", directory), /^<svg .*<\/svg>\n$/s)
    })
  )

  it.scoped("a run that isn't there: the names of those that are, newest first", () =>
    Effect.gen(function* () {
      const directory = yield* withRuns(
        ...Array.from({ length: 12 }, (_, index) => `run-${String(index).padStart(2, "0")}`)
      )
      const error = yield* Effect.flip(ReportCommand.show(Option.some("../../etc"), "table", directory))
      assert.strictEqual(fromError(error), ExitCode.notFound)
      assert.include(error.message, `There is no run ../../etc in ${directory}. Name one of these: run-11, run-10,`)
      assert.include(error.message, "run-02, and 2 older ones")
    })
  )

  it.scoped("no run at all", () =>
    Effect.gen(function* () {
      const directory = yield* withRuns()
      const last = yield* Effect.flip(ReportCommand.show(Option.none(), "table", directory))
      assert.strictEqual(last.message, "No live update was run on this host yet.")
      const named = yield* Effect.flip(ReportCommand.show(Option.some("r"), "table", directory))
      assert.strictEqual(named.message, `There is no run r in ${directory}: no live update was run on this host yet.`)
    })
  )
})
