import { assert, describe, it } from "@effect/vitest"
import { Kexec, LiveUpdate, Memfd, SimulatedHost } from "@liveupdate/sdk"
import { Effect, Layer } from "effect"
import * as Cache from "../src/cache-without-a-vm/Cache.ts"

const host = (options?: SimulatedHost.Options) =>
  Kexec.layerMemory.pipe(Layer.provideMerge(LiveUpdate.layerMemory(options)))

const next = { kernel: "/boot/vmlinuz-7.3.5", commandLine: "liveupdate=on" }

const text = (cache: Cache.Cache, key: string) => Effect.map(cache.get(key), (value) => value?.toString())

describe("a cache without a VM", () => {
  it.scoped("its entries are there under the next kernel, the newest of each key, and it goes on", () =>
    Effect.gen(function* () {
      yield* SimulatedHost.simulateKexec(
        Effect.gen(function* () {
          const cache = yield* Cache.create(4096)
          yield* cache.set("one", Buffer.from("1"))
          yield* cache.set("two", Buffer.from("an older two"))
          yield* cache.set("two", Buffer.from("2"))
          yield* cache.set("none", Buffer.alloc(0))
          return yield* Cache.handOver(cache, next)
        })
      )
      const cache = yield* Cache.takeOver
      assert.deepStrictEqual(cache.keys(), ["one", "two", "none"])
      assert.strictEqual(yield* text(cache, "one"), "1")
      assert.strictEqual(yield* text(cache, "two"), "2")
      assert.strictEqual(yield* text(cache, "none"), "")
      assert.isUndefined(yield* cache.get("three"))
      yield* cache.set("three", Buffer.from("3"))
      assert.strictEqual(yield* text(yield* Cache.open(cache.memory), "three"), "3")
    }).pipe(Effect.provide(host()))
  )

  it.scoped("goes on when the kernel doesn't jump", () =>
    Effect.gen(function* () {
      const cache = yield* Cache.create(4096)
      yield* cache.set("one", Buffer.from("1"))
      assert.strictEqual((yield* Effect.flip(Cache.handOver(cache, next)))._tag, "FreezeFailed")
      yield* cache.set("two", Buffer.from("2"))
      assert.strictEqual(yield* text(cache, "one"), "1")
    }).pipe(Effect.provide(host({ faults: { freeze: () => "EIO" } })))
  )

  it.scoped("is full when it is", () =>
    Effect.gen(function* () {
      const cache = yield* Cache.create(64)
      yield* cache.set("one", Buffer.alloc(40))
      assert.strictEqual((yield* Effect.flip(cache.set("two", Buffer.alloc(40))))._tag, "CacheFull")
      assert.deepStrictEqual(cache.keys(), ["one"])
    }).pipe(Effect.provide(host()))
  )

  it.scoped("half a record is none", () =>
    Effect.gen(function* () {
      const cache = yield* Cache.create(4096)
      yield* cache.set("one", Buffer.from("1"))
      // 8 bytes of lengths, the key, the value: the next record's key, and not yet its head.
      yield* Memfd.write(cache.memory, 8 + 3 + 1 + 8, Buffer.from("two"))
      assert.deepStrictEqual((yield* Cache.open(cache.memory)).keys(), ["one"])
    }).pipe(Effect.provide(host()))
  )
})
