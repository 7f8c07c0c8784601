/**
 * Both ways to the next kernel on a host that systemd runs, five times each, in turns. Prints what each of them cost the guest.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SystemdHost from "../e2e/SystemdHost.ts"
import * as TestHost from "../e2e/TestHost.ts"

const ROUNDS = 5

const blackouts = { systemd: [] as Array<number>, direct: [] as Array<number> }

layer(TestHost.layer("systemd-soak"), { excludeTestServices: true, timeout: "20 minutes" })("systemd", (it) => {
  it.effect("a guest, and a service with a store of its own", () => SystemdHost.prepare)

  for (let round = 1; round <= ROUNDS; round++)
    for (const way of ["systemd", "direct"] as const)
      it.effect(`--jump ${way}, ${round} of ${ROUNDS}`, () =>
        Effect.gen(function* () {
          const { blackoutMs, cache, complaints, passed } = yield* SystemdHost.round(way)
          blackouts[way].push(blackoutMs)
          assert.strictEqual(cache, way === "systemd" ? SystemdHost.kept : "")
          assert.strictEqual(passed !== "", way === "systemd")
          assert.strictEqual(complaints, "")
          assert.deepStrictEqual(yield* SystemdHost.left, SystemdHost.nothing)
        })
      )

  it.effect("what they cost", () =>
    Effect.sync(() => {
      for (const [way, all] of Object.entries(blackouts)) {
        assert.strictEqual(all.length, ROUNDS)
        process.stderr.write(`--jump ${way}: blackout ${all.map((ms) => (ms / 1000).toFixed(2)).join(", ")} s\n`)
      }
    })
  )
})
