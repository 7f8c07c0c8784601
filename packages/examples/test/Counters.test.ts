import { assert, describe, it } from "@effect/vitest"
import { Kexec, LiveUpdate, SimulatedHost } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Counters from "../src/Counters.ts"

/** No root, no /dev/liveupdate, no reboot: this machine's memory and a model of the kernel's rules. */
const host = (options?: SimulatedHost.Options) =>
  Kexec.layerMemory.pipe(Layer.provideMerge(LiveUpdate.layerMemory(options)))

describe("counters", () => {
  it.scoped("count on after the jump", () =>
    Effect.gen(function* () {
      yield* SimulatedHost.simulateKexec(
        Effect.gen(function* () {
          const counters = yield* Counters.create(3)
          yield* Counters.increment(counters, 2)
          return yield* Counters.handOver(counters, "/boot/vmlinuz-7.3.5")
        })
      )
      const counters = yield* Counters.takeOver
      yield* Counters.increment(counters, 2)
      assert.strictEqual(yield* Counters.read(counters, 2), 2n)
      assert.strictEqual(yield* Counters.read(counters, 0), 0n)
    }).pipe(Effect.provide(host()))
  )

  it.scoped("count on when the kernel refuses to jump, and can grow again", () =>
    Effect.gen(function* () {
      const counters = yield* Counters.create(1)
      const refused = yield* Effect.flip(Counters.handOver(counters, "/boot/vmlinuz-7.3.5"))
      assert.strictEqual(refused._tag, "FreezeFailed")
      yield* Counters.increment(counters, 0)
      assert.strictEqual(yield* Counters.read(counters, 0), 1n)
    }).pipe(Effect.provide(host({ faults: { freeze: () => "EIO" } })))
  )

  it.scoped("a kernel image that isn't there", () =>
    Effect.gen(function* () {
      const counters = yield* Counters.create(1)
      const refused = yield* Effect.flip(Counters.handOver(counters, "/srv/no-such-kernel"))
      assert.strictEqual(refused._tag, "NotFound")
    }).pipe(Effect.provide(host()))
  )
})
