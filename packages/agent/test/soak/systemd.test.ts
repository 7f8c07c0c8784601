/**
 * Both ways to the next kernel on a host that systemd runs, five times each, in turns. Prints what each of them cost the guest. And an agent
 * that is killed while systemd stops services: nobody lets the guest run then, whose state is on its way, and it lives.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as GuestConsole from "../e2e/GuestConsole.ts"
import * as SystemdHost from "../e2e/SystemdHost.ts"
import * as TestHost from "../e2e/TestHost.ts"

const ROUNDS = Number(process.env["LIVEUPDATE_UPDATES"] ?? 10) / 2

const witnessed = "/var/lib/e2e/witnessed"

/** Kills the agent when it is told to stop, and counts the lines on the guest's console: longer than a watchdog takes. */
const slow = `[Service]
ExecStart=/bin/sleep infinity
ExecStop=/bin/sh -c 'pkill -KILL -f "[a]gent upgrade --vm" && echo killed >${witnessed}; for i in 1 2 3 4 5 6 7; do wc -l <${TestHost.consoleOf(SystemdHost.vm)} >>${witnessed}; sleep 0.5; done'
`

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

  it.effect("the agent is killed while services stop: the host goes, and the guest lives", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      // Long enough for a watchdog that would let the guest run, and for the guest to show it.
      yield* host.write("/etc/systemd/system/slow.service", slow)
      yield* host.output("systemctl", "daemon-reload")
      yield* host.output("systemctl", "start", "slow.service")
      const bootId = yield* host.bootId
      const kernel = yield* host.otherKernel
      yield* host.inside("agent", "upgrade", "--vm", SystemdHost.vm, "--kernel", kernel, "--jump", "systemd")
      yield* SystemdHost.jumpedFrom(bootId)
      yield* host.waitForTick(SystemdHost.vm)
      GuestConsole.assertUnharmed(yield* host.waitForTick(SystemdHost.vm))
      yield* host.booted
      const [killed, ...lines] = (yield* host.output("cat", witnessed)).split("\n")
      assert.strictEqual(killed, "killed")
      assert.deepStrictEqual([lines.length, new Set(lines).size], [7, 1], `lines on the guest's console: ${lines}`)
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
