import { assert, describe, it } from "@effect/vitest"
import { handoversOf } from "../src/handovers/index.ts"
import * as ModelHost from "../src/ModelHost.ts"
import { scenariosOf } from "../src/scenarios/index.ts"

for (const profile of ["7.3", "handlers"] as const)
  describe(`the model of ${profile}`, async () => {
    const { after, before, scenarios: found } = await ModelHost.findings([], [], profile)
    for (const [index, { behaviour, expected }] of scenariosOf(profile).entries())
      it(behaviour, () => assert.deepStrictEqual(found[index]?.verdict, expected))
    for (const [index, { behaviour, expected }] of handoversOf(profile).entries())
      it(`across a jump: ${behaviour}`, () =>
        assert.deepStrictEqual({ before: before[index]?.verdict, after: after[index]?.verdict }, expected))
  })
