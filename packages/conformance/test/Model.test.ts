import { assert, describe, it } from "@effect/vitest"
import { handovers } from "../src/handovers/index.ts"
import * as ModelHost from "../src/ModelHost.ts"
import { scenarios } from "../src/scenarios/index.ts"

describe("the model", async () => {
  const { after, before, scenarios: found } = await ModelHost.findings()
  for (const [index, { behaviour, expected }] of scenarios.entries())
    it(behaviour, () => assert.deepStrictEqual(found[index]?.verdict, expected))
  for (const [index, { behaviour, expected }] of handovers.entries())
    it(`across a jump: ${behaviour}`, () =>
      assert.deepStrictEqual({ before: before[index]?.verdict, after: after[index]?.verdict }, expected))
})
