/** A service's memory lives through a real kexec without a VM around it: what was in the cache is in it afterwards, byte for byte. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ProgramBundle from "../../../agent/test/e2e/ProgramBundle.ts"
import * as TestHost from "../../../agent/test/e2e/TestHost.ts"

const ENTRIES = "20000"

const path = ProgramBundle.inside("cache")

const program = (...args: ReadonlyArray<string>) =>
  Effect.flatMap(TestHost.TestHost, (host) => host.inside("/usr/lib/liveupdate/node", path, ...args))

layer(TestHost.layer("cache"), { excludeTestServices: true, timeout: "20 minutes" })("a cache without a VM", (it) => {
  it.effect(`${ENTRIES} entries go through a jump`, () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      // systemd's own `agent resume` has the device for a moment.
      yield* host.booted
      const source = new URL("../../src/cache-without-a-vm/main.ts", import.meta.url)
      yield* host.write(path, yield* ProgramBundle.make(source))
      const before = yield* host.bootId
      const kernel = yield* host.otherKernel
      const lost = yield* Effect.flip(Effect.sandbox(program("fill", ENTRIES, kernel)))
      assert.include(String(lost), "runs a new kernel")
      assert.notStrictEqual(yield* host.bootId, before)
      yield* host.booted

      const read = yield* program("read")
      assert.strictEqual(read.code, 0, read.stderr)
      assert.deepStrictEqual(JSON.parse(read.stdout), { entries: Number(ENTRIES), intact: Number(ENTRIES) })
    })
  )
})
