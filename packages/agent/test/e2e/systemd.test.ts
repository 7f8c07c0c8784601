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
      yield* Observers.published
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

  it.effect("resumes die, hang and fail after --jump systemd: each time somebody goes on, and the guest is back", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const fates: ReadonlyArray<SystemdHost.Fate> = [
        "before:retrieve killed",
        "after:retrieve killed",
        "before:restore hung",
        "after:restore refused"
      ]
      yield* host.write("/etc/systemd/system/liveupdate-resume.service.d/watchdog.conf", "[Service]\nWatchdogSec=5s\n")
      yield* host.output("systemctl", "daemon-reload")
      yield* SystemdHost.fatedJump("systemd", ...fates)
      const { done } = yield* SystemdHost.journaled(yield* SystemdHost.lastRun, "upgraded")
      assert.includeMembers(done, ["retrieve", "load-state", "resume", "verify", "finish"])
      const { met, passed } = yield* SystemdHost.fatesMet
      assert.deepStrictEqual(met, fates)
      // Before the jump the unit has nothing yet. The first one after it gave the list of sessions to the keeper and was killed; the guest's was
      // with systemd, and came once more.
      const [index, guest] = ["index", `vm-${SystemdHost.vm}`].map((name) => `liveupdate-session-liveupdate-${name}`)
      assert.deepStrictEqual(
        passed.map((line) => line.split(":").sort().join()),
        ["", `${index},${guest}`, guest, "", ""]
      )
      assert.deepStrictEqual(yield* SystemdHost.unitFailures, ["signal", "signal", "watchdog", "exit-code"])
      assert.deepStrictEqual(yield* SystemdHost.recovered, { result: "success", status: "0" })
      const console = yield* host.waitForTick(SystemdHost.vm)
      GuestConsole.assertUnharmed(console)
      yield* host.keeperGone
      assert.deepStrictEqual(yield* SystemdHost.left, SystemdHost.nothing)
    })
  )

  it.effect("agent plan says which way it is for, and takes along what goes that way", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const options = ["--all", "--kernel", yield* host.otherKernel, "--jump", "systemd", "--output", "ndjson"]
      const plan = JSON.parse(yield* host.output("agent", "plan", ...options))
      assert.deepStrictEqual(
        [plan.jump, ...plan.ways.map(({ jump }: { jump: string }) => jump)],
        ["systemd", "systemd", "direct"]
      )
      assert.deepStrictEqual(
        plan.sessions.map(({ session }: { session: string }) => session),
        ["liveupdate-index", `liveupdate-vm-${SystemdHost.vm}`]
      )
      // The only live updates of this host went through systemd.
      assert.deepStrictEqual(
        plan.ways.map(({ measured }: { measured?: object }) => measured !== undefined),
        [true, false]
      )
    })
  )

  it.effect("an agent and its watchdog die before the jump: liveupdate-recover.service lets the guest run", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      assert.strictEqual((yield* SystemdHost.fated("systemd", "after:pause deserted")).code, 128 + 9)
      const run = yield* SystemdHost.lastRun
      assert.match(yield* host.output("agent", "vm", "list"), /^web-1\tpaused\t/m)
      yield* host.output("systemctl", "start", "liveupdate-recover.service")
      assert.deepStrictEqual(yield* SystemdHost.recovered, { result: "success", status: "0" })
      GuestConsole.assertUnharmed(yield* host.waitForTick(SystemdHost.vm))
      assert.include((yield* SystemdHost.journaled(run, "rolled-back")).done, "recover")
      assert.deepStrictEqual(yield* SystemdHost.left, SystemdHost.nothing)
    })
  )

  it.effect(
    "--jump direct: resumes die, the first process's and the unit's; the guest lives, and systemd has nothing to bring",
    () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const fates: ReadonlyArray<SystemdHost.Fate> = ["before:retrieve killed", "after:retrieve killed"]
        yield* SystemdHost.fatedJump("direct", ...fates)
        const { done } = yield* SystemdHost.journaled(yield* SystemdHost.lastRun, "upgraded")
        assert.includeMembers(done, SystemdHost.secondHalf)
        const { met, passed } = yield* SystemdHost.fatesMet
        assert.deepStrictEqual(met, fates)
        assert.deepStrictEqual(passed, ["", ""])
        assert.deepStrictEqual(yield* SystemdHost.unitFailures, ["signal"])
        assert.isUndefined(yield* SystemdHost.recovered)
        GuestConsole.assertUnharmed(yield* host.waitForTick(SystemdHost.vm))
        const { cache, place } = yield* SystemdHost.remains
        assert.deepStrictEqual([cache, place], ["", SystemdHost.inSlice])
        assert.deepStrictEqual(yield* SystemdHost.left, SystemdHost.nothing)
      })
  )

  it.effect("a start-up snapshot that Node refuses, or with which it crashes: the unit starts again, without it", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const blob = "/var/lib/liveupdate/resume.blob"
      const spoilt = (how: string, result: RegExp) =>
        Effect.gen(function* () {
          const before = yield* SystemdHost.unitFailures
          yield* host.output("sh", "-ec", `${how} | dd of=${blob} bs=1 seek=$at conv=notrunc status=none`)
          yield* host.output("systemctl", "reset-failed", "liveupdate-resume")
          yield* host.output("sh", "-c", "systemctl restart liveupdate-resume || systemctl start liveupdate-resume")
          const [failure, ...more] = (yield* SystemdHost.unitFailures).slice(before.length)
          assert.isEmpty(more)
          assert.match(failure ?? "", result)
          const shown = ["show", "--property=Result", "--value", "liveupdate-resume"]
          assert.strictEqual(yield* host.output("systemctl", ...shown), "success")
          yield* host.output("rm", "/run/liveupdate/snapshot-refused")
        })
      // Damaged in the middle: V8's checksum of it doesn't agree.
      yield* spoilt(`at=3000000; echo damaged`, /^(signal|core-dump)$/)
      // Made by another Node, for all that this one knows: its version comes first.
      yield* spoilt(
        `v=$(/usr/lib/liveupdate/node --version); v=\${v#v}; at=$(grep -abo -m1 "$v" ${blob} | head -n 1 | cut -d: -f1); printf %s "$v" | tr 0-9 1-90`,
        /^exit-code$/
      )
    })
  )
})
