import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Custody, layerMemory } from "../src/Custody.ts"
import { Kernel } from "../src/internal/Kernel.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import * as MemoryHost from "./MemoryHost.ts"

const scopedFd = (open: () => number) =>
  Effect.acquireRelease(Effect.sync(open), (fd) => Effect.sync(() => systemCalls.close(fd)))

describe("Custody.layerMemory", () => {
  it.scoped("outlives a scope, gives duplicates, and ends with its layer", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const custody = yield* Custody
        const inode = yield* Effect.scoped(
          Effect.gen(function* () {
            const memfd = yield* Memfd.create({ name: "held", size: 4096 })
            const deposit = yield* custody.prepare("vm-1")
            assert.isUndefined(deposit.hold(memfd.fd))
            yield* custody.confirm("vm-1", memfd.fd)
            return Fs.fstatSync(memfd.fd).ino
          })
        )
        const fd = yield* scopedFd(() => Effect.runSync(custody.claim("vm-1")) ?? -1)
        assert.strictEqual(Fs.fstatSync(fd).ino, inode)
        assert.deepStrictEqual(yield* custody.list, [{ session: "vm-1", holder: "process", pid: process.pid }])
        yield* custody.release("vm-1")
        assert.isUndefined(yield* custody.claim("vm-1"))
        assert.isUndefined(yield* custody.claim("vm-2"))
      }).pipe(Effect.provide(layerMemory))
    })
  )
})

/** Closes what it holds only when it is asked the next time, as a keeper does that is told to and has not come to it yet. */
const slow = Layer.effect(
  Custody,
  Effect.map(Kernel, (kernel) => {
    let held: number | undefined
    return Custody.of({
      prepare: () =>
        Effect.succeed({
          hold: (fd) => {
            held = kernel.dup(fd)
            return undefined
          },
          settled: Effect.void
        }),
      confirm: () => Effect.void,
      claim: () =>
        Effect.sync(() => {
          if (held !== undefined) kernel.close(held)
          held = undefined
          return undefined
        }),
      release: () => Effect.void,
      list: Effect.succeed([])
    })
  })
)

describe("a holder that closes a finished session late", () => {
  it.scoped("is waited for: the session is gone, not taken", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      yield* MemoryHost.jumpAfter(machine, Effect.asVoid(LiveUpdate.create("vm-1")))
      const kernel = Layer.succeed(Kernel, machine.start().calls)
      const again = yield* Effect.gen(function* () {
        yield* Effect.scoped(Effect.flatMap(LiveUpdate.retrieve("vm-1"), (session) => session.finish))
        return yield* Effect.flip(Effect.scoped(LiveUpdate.retrieve("vm-1")))
      }).pipe(Effect.provide(LiveUpdate.layer.pipe(Layer.provideMerge(slow), Layer.provideMerge(kernel))))
      assert.strictEqual(again._tag, "SessionNotFound")
    })
  )
})
