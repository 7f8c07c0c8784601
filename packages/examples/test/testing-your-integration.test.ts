import { assert, describe, it } from "@effect/vitest"
import { Kexec, LiveUpdate, Memfd, SimulatedHost, Token } from "@liveupdate/sdk"
import { Effect, Layer, Ref } from "effect"
import * as Carry from "../src/testing-your-integration/Carry.ts"

const host = (options?: SimulatedHost.Options) =>
  Kexec.layerMemory.pipe(Layer.provideMerge(LiveUpdate.layerMemory(options)))

const KERNEL = "/boot/vmlinuz-7.3.5"

/** A guest that keeps count of what is done to it. */
const makeGuest = Effect.gen(function* () {
  const said = yield* Ref.make<ReadonlyArray<string>>([])
  const say = (word: string) => Ref.update(said, (words) => [...words, word])
  const ram = yield* Memfd.create({ name: "ram", size: 1 << 20 })
  yield* Memfd.write(ram, 4096, Buffer.from("the guest's"))
  return { id: "vm-42", ram, pause: say("paused"), resume: say("resumed"), said: Ref.get(said) }
})

const contents = (ram: Memfd.Memfd | Memfd.Managed) =>
  Effect.map(Memfd.read(ram, 4096, 11), (bytes) => bytes.toString())

const handOver = Effect.flatMap(makeGuest, (guest) => Carry.handOver(guest, KERNEL))

describe("carrying a guest", () => {
  it.scoped("through a jump: paused, retrieved, finished", () =>
    Effect.gen(function* () {
      const seen = yield* Ref.make("")
      const guest = yield* makeGuest
      yield* SimulatedHost.simulateKexec(Carry.handOver(guest, KERNEL))
      assert.deepStrictEqual(yield* guest.said, ["paused"])
      yield* Carry.takeOver("vm-42", (ram) => Effect.flatMap(contents(ram), (text) => Ref.set(seen, text)))
      assert.strictEqual(yield* Ref.get(seen), "the guest's")
      const again = yield* Effect.flip(Carry.takeOver("vm-42", () => Effect.void))
      assert.strictEqual(again._tag, "SessionNotFound")
    }).pipe(Effect.provide(host()))
  )

  it.scoped("EBUSY: somebody else has preserved its memory, and is named; the guest is never paused", () =>
    Effect.gen(function* () {
      const guest = yield* makeGuest
      yield* Effect.scoped(
        Effect.gen(function* () {
          const other = yield* LiveUpdate.create("backup")
          yield* other.preserve(guest.ram, Token.make(9n))
          const refused = yield* Effect.flip(Carry.handOver(guest, KERNEL))
          assert(refused._tag === "AlreadyPreserved")
          assert.strictEqual(refused.errno, "EBUSY")
          assert.strictEqual(refused.holder?.session, "backup")
          assert.deepStrictEqual(yield* guest.said, [])
        })
      )
      // The other one has left its scope: now it goes.
      yield* SimulatedHost.simulateKexec(Carry.handOver(guest, KERNEL))
    }).pipe(Effect.provide(host()))
  )

  it.scoped("the kernel doesn't jump: the guest is resumed, its memory free", () =>
    Effect.gen(function* () {
      const guest = yield* makeGuest
      const refused = yield* Effect.flip(Carry.handOver(guest, KERNEL))
      assert.strictEqual(refused._tag, "FreezeFailed")
      assert.deepStrictEqual(yield* guest.said, ["paused", "resumed"])
      yield* Memfd.resize(guest.ram, 1 << 21)
      assert.isFalse(yield* Kexec.isLoaded)
    }).pipe(Effect.provide(host({ faults: { freeze: () => "EIO" } })))
  )

  it.scoped("a guest that doesn't start keeps its memory: the next try finds it", () =>
    Effect.gen(function* () {
      yield* SimulatedHost.simulateKexec(handOver)
      const failed = yield* Effect.flip(Carry.takeOver("vm-42", () => Effect.fail("the VMM is gone" as const)))
      assert.strictEqual(failed, "the VMM is gone")
      yield* Carry.takeOver("vm-42", (ram) =>
        Effect.map(contents(ram), (text) => assert.strictEqual(text, "the guest's"))
      )
    }).pipe(Effect.provide(host()))
  )

  it.scoped("a session that can't be finished yet", () => {
    let ready = false
    return Effect.gen(function* () {
      yield* SimulatedHost.simulateKexec(handOver)
      const refused = yield* Effect.flip(Carry.takeOver("vm-42", () => Effect.void))
      assert.strictEqual(refused._tag, "FinishRefused")
      ready = true
      yield* Carry.takeOver("vm-42", () => Effect.void)
    }).pipe(Effect.provide(host({ faults: { canFinish: () => ready } })))
  })

  it.scoped("a host without live update", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(handOver))._tag, "DeviceMissing")
    }).pipe(Effect.provide(host({ faults: { open: () => "ENOENT" } })))
  )
})
