/**
 * Three guests go through one jump. One comes back; one comes back, but its operator's check is not content; one has lost its disk. The
 * others never wait for the one that fails, what is parked keeps its memory, and the operator decides.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as GuestConsole from "./GuestConsole.ts"
import * as LostDisk from "./LostDisk.ts"
import * as TestHost from "./TestHost.ts"

const [well, doubted, lost] = ["a", "b", "c"]
const disk = "/var/lib/e2e/c.img"

/** Which VMs were checked, one a line; content unless "not-content" is there. */
const checked = "/var/lib/e2e/checked"
const check = `#!/bin/sh
echo "$LIVEUPDATE_VM $LIVEUPDATE_VMM_PID" >>${checked}
[ ! -e /var/lib/e2e/not-content-$LIVEUPDATE_VM ] || { echo "no answer on port 22" >&2; exit 3; }
`

const guest = (id: string, more: Readonly<Record<string, unknown>> = {}) => ({
  id,
  memory: "96M",
  ...TestHost.demoGuest,
  cmdline: TestHost.guestCommandLine("8M"),
  ...more
})

const resume = (...args: ReadonlyArray<string>) =>
  Effect.flatMap(TestHost.TestHost, (host) => host.inside("/usr/bin/agent", "resume", ...args))

const parked = Effect.flatMap(TestHost.TestHost, (host) =>
  Effect.map(host.agent("park", "--list", "--output", "ndjson"), ({ stdout }) =>
    stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line))
  )
)

layer(TestHost.layer("parked"), { excludeTestServices: true, timeout: "15 minutes" })("parked guests", (it) => {
  it.effect("start: three guests go through a jump, and one of them comes back at once", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.output("sh", "-ec", `mkdir -p /var/lib/e2e; truncate -s 32M ${disk}; mkfs.ext4 -q ${disk}`)
      yield* host.write("/var/lib/e2e/check", check)
      yield* host.output("sh", "-ec", `chmod 755 /var/lib/e2e/check; touch /var/lib/e2e/not-content-${doubted}`)
      const specs = [
        guest(well, { check: ["/var/lib/e2e/check"] }),
        guest(doubted, { check: ["/var/lib/e2e/check"] }),
        guest(lost, { disks: [{ path: disk, format: "raw" }] })
      ]
      for (const spec of specs) {
        yield* host.runVm(spec)
      }
      for (const { id } of specs) yield* host.waitForTick(id, 2)
      yield* LostDisk.jumpWithout(disk, "--all")
      for (const id of [well, doubted]) yield* host.waitForTick(id)
      yield* LostDisk.needsOperator
      yield* host.booted
    })
  )

  it.effect("what is parked is listed with its reason, and what to do", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const list = yield* parked
      assert.deepStrictEqual(
        list.map(({ vm, failed, memoryBytes }) => [vm, failed.step, memoryBytes]),
        [
          [doubted, "verify", 96 << 20],
          [lost, "start-vmm", 96 << 20]
        ]
      )
      assert.include(list[0].failed.reason, "/var/lib/e2e/check ended with exit code 3: no answer on port 22")
      const text = (yield* host.agent("park", "--list")).stdout
      assert.include(text, `agent resume --vm ${lost}`)
      assert.include(text, `agent discard --vm ${lost} --yes`)
      // Checked with what is documented; the one that was content is finished.
      const lines = (yield* host.output("cat", checked)).split("\n")
      assert.deepStrictEqual([...new Set(lines.map((line) => line.split(" ")[0]))].sort(), [well, doubted])
    })
  )

  it.effect("its session is with the first process, who keeps it; `agent doctor` finds it there", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const status = (yield* host.agent("status")).stdout
      assert.include(status, `${lost} failed at restore`)
      const keeper = /session liveupdate-vm-c \(keeper, pid (\d+)\)/.exec(status)?.[1] ?? assert.fail(status)
      // The same by looking at who has it open, without asking the keeper.
      const examined = (yield* host.agent("doctor")).stdout
      assert.match(examined, new RegExp(`^warn +sessions .*liveupdate-vm-c in \\S+ \\(pid ${keeper}\\)`, "m"))
      assert.match(examined, /^warn +last-run .* left a VM to the operator$/m)
      assert.match(examined, /^ +→ Don't reboot\. .*agent resume$/m)
      // It was there before any agent: the first process has retrieved the session.
      assert.strictEqual(yield* host.output("readlink", `/proc/${keeper}/exe`), "/usr/lib/liveupdate-host/init")
      // Its memory would be lost with the next jump.
      const another = yield* host.inside(
        "/usr/bin/agent",
        ...["upgrade", "--vm", well, "--abandon", doubted, "--kernel", yield* host.otherKernel]
      )
      assert.strictEqual(another.code, 5, another.stderr)
      assert.include(another.stderr, "liveupdate-vm-c")
      assert.include(another.stderr, "agent discard --vm ID")
    })
  )

  it.effect("one that is asked for alone comes back alone; bad requests are refused, and change nothing", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      assert.strictEqual((yield* resume("--vm", "nobody")).code, 4)
      assert.strictEqual((yield* host.agent("discard", "--vm", lost)).code, 2)
      const notParked = yield* host.agent("discard", "--vm", well, "--yes")
      assert.strictEqual(notParked.code, 4)
      assert.include(notParked.stderr, `parked: ${doubted}, ${lost}`)
      // Its check is still not content.
      assert.strictEqual((yield* resume("--vm", doubted)).code, 7)
      assert.deepStrictEqual(
        (yield* parked).map(({ vm }) => vm),
        [doubted, lost]
      )

      yield* host.output("rm", `/var/lib/e2e/not-content-${doubted}`)
      const rest = yield* resume("--vm", doubted)
      assert.strictEqual(rest.code, 7, rest.stderr)
      assert.deepStrictEqual(
        (yield* parked).map(({ vm }) => vm),
        [lost]
      )
      for (const id of [well, doubted]) GuestConsole.assertUnharmed(yield* host.waitForTick(id))
    })
  )

  it.effect("one that is given up is gone with its memory, its disk isn't, and nothing is left to wait for", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const discarded = yield* host.agent("discard", "--vm", lost, "--yes")
      assert.strictEqual(discarded.code, 0, discarded.stderr)
      assert.include(discarded.stdout, "No other VM is parked")
      assert.deepStrictEqual(yield* parked, [])
      yield* host.keeperGone
      assert.include((yield* host.agent("status")).stdout, "upgraded: ")
      assert.include((yield* resume()).stdout, "Nothing to resume")
      // The same guest boots anew from what is left of it.
      yield* host.output("mv", `${disk}.away`, disk)
      yield* host.runVm(guest(lost, { disks: [{ path: disk, format: "raw" }] }))
      for (const id of [well, doubted]) GuestConsole.assertUnharmed(yield* host.waitForTick(id))
    })
  )
})
