/**
 * A few cells of the fault matrix, before and after the jump; all of them: npm run faults.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cells from "../faults/Cells.ts"
import * as Matrix from "../faults/Matrix.ts"
import * as TestHost from "./TestHost.ts"

const some: ReadonlyArray<readonly [Matrix.Fault, Matrix.PhaseName]> = [
  ["token-used", "preserve-state"],
  ["vmm-dies", "pause"],
  ["agent-killed", "restore"]
]

layer(TestHost.layer("cells"), { excludeTestServices: true, timeout: "20 minutes" })("of the fault matrix", (it) => {
  it.effect("start: two guests count", () => Effect.zipRight(Cells.writeHolder, Cells.start))

  for (const [fault, phase] of some) {
    const cell = Matrix.runnable.find((cell) => cell.fault === fault && cell.phase === phase)
    it.effect(`${fault} / ${phase}: ${cell?.end}`, () =>
      cell === undefined ? assert.fail("no such cell") : Cells.run(cell)
    )
  }
})
