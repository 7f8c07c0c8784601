/**
 * The two ways to the next kernel on a host that systemd runs: through systemd, which keeps what other services have stored too, and
 * directly. The guest lives through both.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Event from "../../src/upgrade/Event.ts"
import * as GuestConsole from "./GuestConsole.ts"
import * as Observers from "./Observers.ts"
import * as SystemdHost from "./SystemdHost.ts"
import * as TestHost from "./TestHost.ts"

/** What the jump through systemd has said, and from which kernel it went. */
let through: { readonly events: ReadonlyArray<Event.Event>; readonly before: string } | undefined

layer(TestHost.layer("systemd"), { excludeTestServices: true, timeout: "10 minutes" })("systemd", (it) => {
  it.effect("a guest, and a service with a store of its own", () => SystemdHost.prepare)

  it.effect("others want to know: node-exporter, and a collector of traces", () => Observers.prepare)

  it.effect("systemd refuses to go: the guest runs on, and nothing is left in the store", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.output("systemctl", "mask", "--runtime", "kexec.target")
      const said = yield* host.agent(
        "upgrade",
        "--vm",
        SystemdHost.vm,
        "--kernel",
        yield* host.otherKernel,
        "--jump",
        "systemd",
        "--output",
        "ndjson"
      )
      yield* host.output("systemctl", "unmask", "--runtime", "kexec.target")
      assert.strictEqual(said.code, 6, said.stderr)
      assert.match(said.stderr, /systemctl kexec failed: .*masked/)
      const { run } = Event.parse(said.stdout.split("\n")[0] ?? "") ?? assert.fail(said.stdout)
      const { done, failed, undone } = yield* SystemdHost.journaled(run, "rolled-back")
      assert.includeMembers(done, ["preflight", "load-kernel", "prepare", "preserve-running", "pause", "save-state"])
      assert.deepStrictEqual([failed, undone], [["jump"], ["pause"]])
      GuestConsole.assertUnharmed(yield* host.waitForTick(SystemdHost.vm))
      assert.deepStrictEqual(yield* SystemdHost.left, SystemdHost.nothing)
    })
  )

  it.effect("--jump systemd: the guest lives, systemd brings its sessions, and what the other service has stored", () =>
    Effect.gen(function* () {
      const before = yield* Effect.flatMap(TestHost.TestHost, (host) => host.release)
      const { cache, complaints, events, passed, place, steps } = yield* SystemdHost.round("systemd")
      through = { events, before }
      assert.deepStrictEqual(passed.split(":").sort(), [
        "liveupdate-session-liveupdate-index",
        `liveupdate-session-liveupdate-vm-${SystemdHost.vm}`
      ])
      // systemd could open the device at shutdown and at boot: nobody held it.
      assert.strictEqual(cache, SystemdHost.kept)
      assert.strictEqual(complaints, "")
      assert.deepStrictEqual(yield* SystemdHost.left, SystemdHost.nothing)
      assert.deepStrictEqual(steps, SystemdHost.secondHalf)
      assert.strictEqual(place, SystemdHost.inSlice)
    })
  )

  it.effect("after one roll-back and one success everybody was told, when the guests ran", () =>
    Effect.gen(function* () {
      const { events, before } = through ?? assert.fail("there was no jump")
      yield* Observers.assertTold(events)
      yield* Observers.assertMetrics({ before })
    })
  )

  it.effect("--jump direct: the guest lives, and systemd has nothing to bring", () =>
    Effect.gen(function* () {
      const { cache, passed, place, steps } = yield* SystemdHost.round("direct")
      assert.strictEqual(passed, "")
      assert.strictEqual(cache, "")
      // Whoever was first to bring it back, and that was before systemd.
      assert.deepStrictEqual(steps, SystemdHost.secondHalf)
      assert.strictEqual(place, SystemdHost.inSlice)
      assert.deepStrictEqual(yield* SystemdHost.left, SystemdHost.nothing)
    })
  )
})
