/**
 * The fault matrix (`Matrix.ts`), cell by cell on one QEMU host with two guests: one that the fault is made for, and a bystander.
 *
 * LIVEUPDATE_CELLS=vmm-dies/pause,power-cut runs these alone.
 */
import { appendFileSync } from "node:fs"
import { assert, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestHost from "../e2e/TestHost.ts"
import * as Cells from "./Cells.ts"
import * as Matrix from "./Matrix.ts"

const wanted = process.env["LIVEUPDATE_CELLS"]?.split(",")
const isWanted = ({ fault, phase }: Matrix.Runnable) =>
  wanted === undefined || wanted.includes(fault) || wanted.includes(phase) || wanted.includes(`${fault}/${phase}`)

const chosen = Matrix.runnable.filter(isWanted)
const seen = new Map<string, string>()

const nameOf = ({ fault, phase }: { readonly fault: string; readonly phase: string }) => `${fault} / ${phase}`

layer(TestHost.layer("faults"), { excludeTestServices: true, timeout: "3 hours" })("the fault matrix", (it) => {
  it.effect("start: two guests count", () => Effect.zipRight(Cells.writeHolder, Cells.start))

  for (const cell of chosen)
    it.effect(`${nameOf(cell)}: ${cell.end}`, () =>
      Effect.gen(function* () {
        seen.set(nameOf(cell), "FAILED")
        // It takes an hour: whoever waits sees how far it is.
        const [time] = yield* Effect.timed(Cells.run(cell)).pipe(
          Effect.tapErrorCause((cause) =>
            Effect.sync(() => process.stderr.write(`${nameOf(cell)}: FAILED\n${Cause.pretty(cause).slice(0, 1500)}\n`))
          )
        )
        seen.set(nameOf(cell), cell.end)
        process.stderr.write(`${nameOf(cell)}: ${cell.end} (${Math.round(Duration.toSeconds(time))} s)\n`)
      })
    )

  it.effect("the matrix", () =>
    Effect.sync(() => {
      const text = Cells.table((cell) => ("never" in cell ? "-" : (seen.get(nameOf(cell)) ?? "not run")))
      process.stderr.write(`\n${text}\n`)
      const file = process.env["LIVEUPDATE_MATRIX"]
      if (file !== undefined) appendFileSync(file, `${text}\n`)
      assert.deepStrictEqual(
        [...seen].filter(([, end]) => end === "FAILED").map(([name]) => name),
        []
      )
    })
  )
})
