import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Doctor from "../../../src/upgrade/Doctor.ts"
import { DoctorFacts } from "../../../src/upgrade/doctor/Facts.ts"
import * as LinuxFacts from "../../../src/upgrade/doctor/LinuxFacts.ts"
import * as VmStore from "../../../src/vmm/VmStore.ts"
import * as Temporary from "../../Temporary.ts"

describe("LinuxFacts", () => {
  it.scoped("looks at whatever machine this is, and nothing of it fails", () =>
    Effect.gen(function* () {
      const root = yield* Temporary.directory
      const store = VmStore.layerAt({ state: Path.join(root, "state"), runtime: Path.join(root, "run") })
      const layer = LinuxFacts.layer.pipe(Layer.provide(Layer.merge(LiveUpdate.layerMemory(), store)))
      const facts = yield* Effect.flatMap(DoctorFacts, (_) => _.look).pipe(Effect.provide(layer))
      assert.strictEqual(facts.release, Os.release())
      assert.strictEqual(facts.firstProcess._tag, "known")
      assert.strictEqual(facts.guests._tag, facts.root ? "known" : "unknown")
      const { counts } = Doctor.summarize(Doctor.judge(facts))
      assert.isAbove(counts.ok, 0)
      // Nothing is made by looking.
      assert.deepStrictEqual(Fs.readdirSync(root), [])
    })
  )

  it.scoped("a VM's record that is damaged makes the guests unknown, and says so", () =>
    Effect.gen(function* () {
      const root = yield* Temporary.directory
      const state = Path.join(root, "state")
      Fs.mkdirSync(Path.join(state, "web-1"), { recursive: true })
      Fs.writeFileSync(Path.join(state, "web-1", "vm.json"), "{")
      const store = VmStore.layerAt({ state, runtime: Path.join(root, "run") })
      const layer = LinuxFacts.layer.pipe(Layer.provide(Layer.merge(LiveUpdate.layerMemory(), store)))
      const facts = yield* Effect.flatMap(DoctorFacts, (_) => _.look).pipe(Effect.provide(layer))
      const memory = Doctor.judge(facts).find(({ check }) => check === "memory")
      assert.strictEqual(memory?.verdict, "unknown", memory?.detail)
      if (facts.root) assert.include(memory?.detail, "VM web-1: its record")
    })
  )
})
