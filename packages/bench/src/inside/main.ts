// Runs inside the QEMU host, `calls` anywhere: PROGRAM is the compiled C, PLAN is JSON. Prints measurements, one a line.
//
//   main calls PROGRAM PLAN    what needs no live update
//   main before PROGRAM PLAN   all that needs no jump
//   main jump PROGRAM PLAN     hands over to the next kernel
//   main after PROGRAM PLAN    what is retrieved there
import * as Custody from "@liveupdate/sdk/Custody"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Plan from "../Plan.ts"
import * as Across from "./Across.ts"
import * as Before from "./Before.ts"

const [phase, program = "", text = ""] = process.argv.slice(2)

const main = Effect.gen(function* () {
  const plan = yield* Schema.decode(Plan.json)(text)
  if (phase === "calls") return yield* Before.calls(program, plan.rounds)
  if (phase === "before") return yield* Before.before(program, plan)
  if (phase === "jump") return yield* Across.jump(plan)
  if (phase === "after") return yield* Across.after(program, plan)
  return yield* Effect.dieMessage(`unknown phase: ${phase}`)
})

const layer = Layer.merge(LiveUpdate.layer.pipe(Layer.provide(Custody.layerMemory)), Kexec.layer)

const exit = await Effect.runPromiseExit(Effect.provide(main, layer))
if (exit._tag === "Failure") {
  process.stderr.write(`${Cause.pretty(exit.cause).slice(0, 400)}\n`)
  process.exitCode = 1
}
