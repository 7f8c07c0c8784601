import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Custody, layerMemory } from "../src/Custody.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as Memfd from "../src/Memfd.ts"

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
