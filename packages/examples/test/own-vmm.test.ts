import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Resume from "@liveupdate/agent/upgrade/Resume"
import * as RunLog from "@liveupdate/agent/upgrade/RunLog"
import * as Upgrade from "@liveupdate/agent/upgrade/Upgrade"
import { VmStore } from "@liveupdate/agent/vmm/VmStore"
import { SimulatedHost } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"
import * as ToyVmm from "../src/own-vmm/ToyVmm.ts"
import * as ModelHost from "./ModelHost.ts"

const SLOT = 8

/** Every number that the guest has reached is in its RAM, at its place. */
const ramOf = (id: string) =>
  Effect.gen(function* () {
    const { pid, ramFd } = yield* (yield* VmStore).get(id)
    const bytes = Fs.readFileSync(`/proc/${pid}/fd/${ramFd}`)
    const words = Array.from({ length: 1000 }, (_, index) => bytes.readDoubleLE((index + 1) * SLOT))
    return words.slice(0, words.indexOf(0))
  })

// The agent's preflight asks for root, also where the kernel is a model.
describe("own VMM", { timeout: 60_000 }, () => {
  const test = (
    name: string,
    body: (place: ModelHost.Place) => Effect.Effect<void, unknown, ModelHost.Services>,
    options?: SimulatedHost.Options
  ) =>
    it.scopedLive(name, () =>
      Effect.flatMap(ModelHost.place, (place) =>
        body(place).pipe(Effect.provide(ModelHost.layer(place, ToyVmm.layer, options)))
      )
    )

  test("a guest counts on under the next kernel, with all of its memory", (place) =>
    Effect.gen(function* () {
      const before = yield* ModelHost.start(ModelHost.toyVm("toy"))
      yield* ModelHost.activity("toy", 5)
      yield* SimulatedHost.simulateKexec(
        Effect.scoped(
          Effect.flatMap(RunLog.open({ run: "one", directory: place.runs }), (log) =>
            Upgrade.upgrade(place.options, log)
          )
        )
      )
      const jumped = yield* ramOf("toy")
      yield* ModelHost.loseWhatTheKernelHeld(place)

      const resumed = yield* Resume.resume({ directory: place.runs, journal: place.journal, lock: place.lock })
      assert.deepStrictEqual(resumed, { _tag: "upgraded", run: "one", vms: ["toy"] })
      const after = yield* (yield* VmStore).get("toy")
      assert.notStrictEqual(after.pid, before.pid)
      yield* ModelHost.activity("toy", jumped.length)
      const numbers = yield* ramOf("toy")
      assert.isAbove(numbers.length, jumped.length)
      assert.deepStrictEqual(
        numbers,
        Array.from(numbers, (_, index) => index + 1)
      )
    }))

  test("a dry run gives it back running", (place) =>
    Effect.gen(function* () {
      const { pid } = yield* ModelHost.start(ModelHost.toyVm("toy"))
      const result = yield* Effect.scoped(
        Effect.flatMap(RunLog.open({ run: "one", directory: place.runs }), (log) =>
          Upgrade.upgrade({ ...place.options, dryRun: true }, log)
        )
      )
      assert.deepStrictEqual(result, { _tag: "dry-run", run: "one", vms: ["toy"] })
      yield* ModelHost.activity("toy", yield* ModelHost.activity("toy"))
      assert.strictEqual((yield* (yield* VmStore).get("toy")).pid, pid)
    }))

  test("hooks that anybody may change refuse it, before the VM that is in its way is stopped", (place) =>
    Effect.gen(function* () {
      const hooks = join(place.directory, "hooks")
      Fs.mkdirSync(hooks)
      Fs.chmodSync(hooks, 0o777)
      yield* ModelHost.start(ModelHost.toyVm("toy"))
      yield* ModelHost.start(ModelHost.toyVm("other"))
      const error = yield* Effect.flip(
        Effect.scoped(
          Effect.flatMap(RunLog.open({ run: "one", directory: place.runs }), (log) =>
            Upgrade.upgrade({ ...place.options, vms: ["toy"], stopOthers: true, hooksDirectory: hooks }, log)
          )
        )
      )
      assert.strictEqual(error._tag, "HooksUnsafe")
      assert.include(error.message, `chmod go-w ${hooks}`)
      yield* ModelHost.activity("other", yield* ModelHost.activity("other"))
    }))

  test(
    "a kernel that refuses to jump gives it back running",
    (place) =>
      Effect.gen(function* () {
        yield* ModelHost.start(ModelHost.toyVm("toy"))
        const error = yield* Effect.flip(
          Effect.scoped(
            Effect.flatMap(RunLog.open({ run: "one", directory: place.runs }), (log) =>
              Upgrade.upgrade(place.options, log)
            )
          )
        )
        assert.strictEqual(error._tag, "RolledBack")
        yield* ModelHost.activity("toy", yield* ModelHost.activity("toy"))
      }),
    { faults: { freeze: () => "EIO" } }
  )

  it.scopedLive("a VMM that can't be started says so", () =>
    Effect.gen(function* () {
      const place = yield* ModelHost.place
      const error = yield* ModelHost.start({ ...ModelHost.toyVm("toy"), binary: "/no/such/vmm" }).pipe(
        Effect.flip,
        Effect.provide(ModelHost.layer(place, ToyVmm.layer))
      )
      assert.strictEqual(error._tag, "VmmStartFailed")
    })
  )
})
