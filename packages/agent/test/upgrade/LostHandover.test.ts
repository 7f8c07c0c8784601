import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Custody from "@liveupdate/sdk/Custody"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ExitCode from "../../src/cli/ExitCode.ts"
import type * as Event from "../../src/upgrade/Event.ts"
import * as HostFacts from "../../src/upgrade/HostFacts.ts"
import * as Journal from "../../src/upgrade/Journal.ts"
import * as Resume from "../../src/upgrade/Resume.ts"
import { Vmm } from "../../src/vmm/Vmm.ts"
import * as VmStore from "../../src/vmm/VmStore.ts"
import * as Temporary from "../Temporary.ts"

const untouched = Layer.succeed(Vmm, {
  launch: () => Effect.dieMessage("no VM is there to be started"),
  incomingCommand: () => [],
  adopt: () => Effect.dieMessage("no VM is there to be adopted"),
  connect: () => Effect.dieMessage("no VM is there to be asked"),
  isRunning: () => Effect.succeed(false)
})

/** A host whose kernel can't read what it was given, until it is rebooted, and the journal of the run `r`. */
const make = Effect.gen(function* () {
  const directory = yield* Temporary.directory
  const journal = join(directory, "journal")
  const events: Array<Event.Event> = []
  let unreadable = true
  const host = LiveUpdate.layerMemory({ faults: { open: () => (unreadable ? "EIO" : undefined) } })
  const layer = Layer.mergeAll(
    untouched,
    Custody.layerMemory,
    VmStore.layerAt({ state: join(directory, "state"), runtime: join(directory, "run") }),
    Kexec.layerMemory.pipe(Layer.provideMerge(host))
  )
  const options = {
    journal,
    directory: join(directory, "runs"),
    lock: Effect.void,
    listener: (event: Event.Event) => void events.push(event)
  }
  return {
    events,
    resume: Effect.provide(Resume.resume(options), layer),
    reboot: Effect.sync(() => {
      unreadable = false
    }),
    began: (boot: string, end?: string) =>
      Effect.scoped(
        Effect.gen(function* () {
          const run = yield* Journal.begin({ run: "r", boot, vms: ["a", "b"], kernel: "/k", hooks: {} }, journal)
          yield* run.note({ kind: "intent", phase: "jump" })
          if (end !== undefined) yield* run.end(end)
        })
      )
  }
})

const outcomes = (events: ReadonlyArray<Event.Event>) =>
  events.flatMap((event) => (event.type === "outcome" ? [event.result] : []))

describe("LostHandover", () => {
  it.scoped("the run ends: each guest is named, what to do as well, and it can be counted", () =>
    Effect.gen(function* () {
      const { began, events, resume } = yield* make
      yield* began("another boot")
      const error = yield* Effect.flip(resume)
      assert(error._tag === "GuestsLost")
      assert.strictEqual(error.run, "r")
      assert.match(error.message, /\[device\.open: EIO\], so the memory of a, b is lost/)
      assert.include(error.message, "agent vm start")
      assert.include(error.message, "rebooted")
      assert.strictEqual(ExitCode.fromError(error), 8)
      const failed = events.flatMap((event) => (event.type === "step" && event.status === "failed" ? [event] : []))
      assert.deepStrictEqual(
        failed.map(({ detail, step, vm }) => [step, vm, detail?.["operation"], detail?.["errno"]]),
        [
          ["retrieve", "a", "device.open", "EIO"],
          ["retrieve", "b", "device.open", "EIO"]
        ]
      )
      const last = events.at(-1)
      assert(last?.type === "outcome")
      assert.strictEqual(last.result, "lost")
      assert.strictEqual(last.message, error.message)
      assert.strictEqual(ExitCode.fromResult(last.result), 8)
    })
  )

  it.scoped("asked again it says the same, and the log has it once", () =>
    Effect.gen(function* () {
      const { began, events, resume } = yield* make
      yield* began("another boot")
      const [first, second] = [yield* Effect.flip(resume), yield* Effect.flip(resume)]
      assert.strictEqual(second.message, first.message)
      assert.deepStrictEqual(outcomes(events), ["lost"])
    })
  )

  it.scoped("after a reboot nothing is left to resume", () =>
    Effect.gen(function* () {
      const { began, events, reboot, resume } = yield* make
      yield* began("another boot")
      yield* Effect.flip(resume)
      yield* reboot
      assert.deepStrictEqual(yield* resume, { _tag: "nothing" })
      assert.deepStrictEqual(outcomes(events), ["lost"])
    })
  )

  it.scoped("who could not say it before a reboot says what became of the guests", () =>
    Effect.gen(function* () {
      const { began, events, reboot, resume } = yield* make
      yield* began("another boot")
      yield* reboot
      assert.strictEqual((yield* resume)._tag, "cold-boot")
      assert.deepStrictEqual(outcomes(events), ["cold-boot"])
    })
  )

  it.scoped("a run of which it isn't known, or known to have ended well, gets no outcome; the answer is the same", () =>
    Effect.gen(function* () {
      const { began, events, resume } = yield* make
      const all = /the memory of all guests that it carried is lost/
      assert.match((yield* Effect.flip(resume)).message, all)
      yield* began("another boot", "jumped")
      assert.match((yield* Effect.flip(resume)).message, all)
      yield* began(yield* HostFacts.bootId)
      assert.match((yield* Effect.flip(resume)).message, all)
      assert.deepStrictEqual(events, [])
    })
  )
})
