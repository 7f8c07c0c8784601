import * as Fs from "node:fs"
import { join } from "node:path"
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { ExitCode, fromError } from "../../src/cli/ExitCode.ts"
import * as MetricsCommands from "../../src/cli/MetricsCommands.ts"
import * as Effective from "../../src/config/Effective.ts"
import * as Hosts from "../metrics/hosts.ts"
import * as Temporary from "../Temporary.ts"

afterEach(() => void vi.restoreAllMocks())

describe("agent metrics", () => {
  it.scoped("is all that is on stdout, or in the file that is named", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const write = vi.spyOn(process.stdout, "write").mockReturnValue(true)
      yield* MetricsCommands.print(Option.none(), runs)
      const stdout = write.mock.calls.map(([text]) => String(text)).join("")
      write.mockClear()
      const file = join(yield* Temporary.directory, "liveupdate.prom")
      yield* MetricsCommands.print(Option.some(file), runs)
      assert.strictEqual(write.mock.calls.length, 0)
      write.mockRestore()
      assert.strictEqual(Fs.readFileSync(file, "utf8"), stdout)
      assert.strictEqual(Hosts.samplesOf(stdout).get('liveupdate_runs_total{result="succeeded"}'), 1)
    }).pipe(Effect.provide(Hosts.layer))
  )

  it.scoped("a file that can't be written: exit code 5", () =>
    Effect.gen(function* () {
      const runs = yield* Hosts.withBoth
      const error = yield* Effect.flip(MetricsCommands.print(Option.some("/nonexistent/a.prom"), runs))
      assert.strictEqual(fromError(error), ExitCode.precondition)
    }).pipe(Effect.provide(Hosts.layer))
  )
})

describe("where metrics are served and traces are sent", () => {
  it("is looked at before anything is begun: exit code 2", () => {
    for (const [key, value] of [
      ["metrics.listen", "9842"],
      ["metrics.textfile", "relative.prom"],
      ["traces.endpoint", "localhost:4318"]
    ] as const) {
      const problem = Effective.join([Effective.flag(key, "--it", value)])
      assert.isTrue(Either.isLeft(problem), key)
      assert.strictEqual(Either.isLeft(problem) ? fromError(problem.left) : 0, ExitCode.usage)
    }
  })
})
