import * as Fs from "node:fs"
import { dirname, join } from "node:path"
import { assert } from "@effect/vitest"
import * as Custody from "@liveupdate/sdk/Custody"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Event from "../../src/upgrade/Event.ts"
import * as RunLog from "../../src/upgrade/RunLog.ts"
import { Vmm } from "../../src/vmm/Vmm.ts"
import * as VmStore from "../../src/vmm/VmStore.ts"
import { recorded, rolledBack } from "../report/runs.ts"
import * as Temporary from "../Temporary.ts"

export const text = (events: ReadonlyArray<Event.Event>): string =>
  events.map((event) => `${JSON.stringify(event)}\n`).join("")

export const succeeded = { run: "20261127T201520Z-77", log: recorded } as const
export const undone = { run: "20261128T080000Z-4d", log: text(rolledBack("web-1")) } as const

export const write = (runs: string, run: string, log: string) =>
  Effect.sync(() => {
    const file = RunLog.fileOf(run, runs)
    Fs.mkdirSync(dirname(file), { recursive: true })
    Fs.writeFileSync(file, log)
  })

/** The directory of a host's runs: one that succeeded, one that was rolled back. */
export const withBoth = Effect.gen(function* () {
  const runs = join(yield* Temporary.directory, "runs")
  yield* write(runs, succeeded.run, succeeded.log)
  yield* write(runs, undone.run, undone.log)
  return runs
})

const notAsked = (what: string) => () => Effect.dieMessage(`${what} is asked for nothing here`)

/** One that holds nothing, and has no VM. */
export const layer = Layer.mergeAll(
  Layer.succeed(
    Custody.Custody,
    Custody.Custody.of({
      prepare: notAsked("custody"),
      confirm: notAsked("custody"),
      claim: notAsked("custody"),
      release: notAsked("custody"),
      list: Effect.succeed([])
    })
  ),
  Layer.succeed(
    Vmm,
    Vmm.of({
      launch: notAsked("the VMM"),
      incomingCommand: () => assert.fail("nothing is started here"),
      adopt: notAsked("the VMM"),
      connect: notAsked("the VMM"),
      isRunning: () => Effect.succeed(false)
    })
  ),
  VmStore.layerAt({ state: "/nonexistent", runtime: "/nonexistent" })
)

/** Samples of a text in Prometheus' format, by name and labels. */
export const samplesOf = (exposition: string): ReadonlyMap<string, number> =>
  new Map(
    exposition
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))])
  )
