/** The kernel, and that the model is like it: every behaviour has the same verdict from both. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { handovers } from "../../src/handovers/index.ts"
import * as ModelHost from "../../src/ModelHost.ts"
import type { Finding, Findings } from "../../src/Suite.ts"
import { scenarios } from "../../src/scenarios/index.ts"
import * as ConformanceHost from "./ConformanceHost.ts"

const isFinding = (value: unknown): value is Finding =>
  typeof value === "object" && value !== null && "behaviour" in value && "verdict" in value

const asFindings = (lines: ReadonlyArray<unknown>): ReadonlyArray<Finding> =>
  lines.map((line) => (isFinding(line) ? line : assert.fail(`not a finding: ${JSON.stringify(line)}`)))

layer(ConformanceHost.layer, { excludeTestServices: true, timeout: "20 minutes" })("the kernel", (it) => {
  const seen: { kernel?: Findings; model?: Findings } = {}

  it.effect("runs the whole suite, and so does the model", () =>
    Effect.gen(function* () {
      const host = yield* ConformanceHost.ConformanceHost
      const scenarios = asFindings(yield* host.run("scenarios"))
      const before = asFindings(yield* host.runAndJump("before"))
      const after = asFindings(yield* host.run("after"))
      seen.kernel = { scenarios, before, after }
      seen.model = yield* Effect.promise(() => ModelHost.findings())
    })
  )

  for (const [index, { behaviour, expected }] of scenarios.entries())
    it.effect(behaviour, () =>
      Effect.sync(() => {
        assert.deepStrictEqual(seen.kernel?.scenarios[index], { behaviour, verdict: expected })
        assert.deepStrictEqual(seen.model?.scenarios[index], seen.kernel?.scenarios[index])
      })
    )
  for (const [index, { behaviour, expected }] of handovers.entries())
    it.effect(`across a jump: ${behaviour}`, () =>
      Effect.sync(() => {
        const { kernel, model } = seen
        assert.deepStrictEqual(
          { before: kernel?.before[index]?.verdict, after: kernel?.after[index]?.verdict },
          expected
        )
        assert.deepStrictEqual(model?.before[index], kernel?.before[index])
        assert.deepStrictEqual(model?.after[index], kernel?.after[index])
      })
    )
})
