/**
 * A guest with two disks lives through two live updates in a row, host-a → host-b → host-a, and can't tell: it counts on,
 * its memory and its disks are as it left them. What the agent reports of each is complete, and its price is small.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Event from "../../src/upgrade/Event.ts"
import * as TimeLine from "../../src/upgrade/TimeLine.ts"
import * as GuestConsole from "./GuestConsole.ts"
import * as GuestDisk from "./GuestDisk.ts"
import * as TestHost from "./TestHost.ts"

const MIB = 1 << 20
const memoryBytes = 192 * MIB
const disks = { vda: "/var/lib/e2e/vda.img", vdb: "/var/lib/e2e/vdb.img" } as const

const vm = "web-1"
const spec = {
  id: vm,
  memory: "192M",
  ...TestHost.demoGuest,
  cmdline: TestHost.guestCommandLine("64M", 200),
  disks: Object.values(disks).map((path) => ({ path, format: "raw" }))
}

/** One live update as it was seen: from outside, from the host, from the guest. */
interface Jump {
  readonly events: ReadonlyArray<Event.Event>
  readonly release: { readonly before: string; readonly after: string }
  readonly bootId: { readonly before: string; readonly after: string }
  readonly lastTickBefore: number
  readonly kernelLog: string
  /** Of each thread of the VMM. */
  readonly niceness: ReadonlyArray<string>
  /** How systemd's own start of `agent resume` ended, which comes when the first process has long begun. */
  readonly resumeUnit: string
}

const jumps: Array<Jump> = []

const jump = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const [release, bootId, console] = yield* Effect.all([host.release, host.bootId, host.console(vm)])
  const kernel = yield* host.otherKernel
  const said = yield* host.agent("upgrade", "--vm", vm, "--kernel", kernel, "--output", "ndjson")
  const events = TestHost.eventsOf(said)
  // The second verdict on a whole pass is on one that began on this kernel.
  const passes = (seen: GuestConsole.GuestConsole) => seen.verdicts.filter((verdict) => verdict.whole).length
  const resumed = passes(yield* host.console(vm))
  yield* host.waitFor(vm, "a pass over the pattern", (seen) => passes(seen) >= resumed + 2)
  yield* host.booted
  jumps.push({
    events,
    release: { before: release, after: yield* host.release },
    bootId: { before: bootId, after: yield* host.bootId },
    lastTickBefore: GuestConsole.lastTick(console),
    kernelLog: yield* host.output("dmesg"),
    niceness: (yield* host.output("sh", "-c", "ps -L -o ni= -p $(pgrep qemu-system)")).split(/\s+/).filter(Boolean),
    resumeUnit: yield* host.output("systemctl", "show", "--property=Result", "--value", "liveupdate-resume.service")
  })
})

const steps = [
  "preflight",
  "load-kernel",
  "prepare",
  "preserve-running",
  "sync",
  "pause",
  "save-state",
  "preserve-state",
  "jump",
  "retrieve",
  "start-vmm",
  "load-state",
  "resume",
  "verify",
  "finish",
  "boot"
]

layer(TestHost.layer("upgrade"), { excludeTestServices: true, timeout: "20 minutes" })(
  "two live updates in a row",
  (it) => {
    it.effect("start: a guest with two disks and a pattern in its memory counts on KVM", () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        yield* Effect.forEach(Object.values(disks), GuestDisk.make)
        yield* host.runVm(spec)
        const seen = yield* host.waitForTick(vm, 10)
        assert.match(seen.introductions.join(), new RegExp(`hypervisor KVMKVMKVM .* pattern ${64 * MIB} `))
        assert.deepStrictEqual(Object.keys(seen.records), ["vda", "vdb"])
      })
    )

    it.effect("first live update", () => jump)

    it.effect("second live update, of the same guest, back to the first kernel, with the second half on the disk", () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        // A first process that says nothing can't start what is sent along; nothing is, then.
        yield* host.output("rm", "/run/liveupdate/first-process")
        yield* jump
      })
    )

    it.effect("the VMM was started by the first process beside the second half, where that was sent along", () =>
      Effect.sync(() => {
        const early = jumps.map(({ events }) =>
          events.flatMap((event) =>
            event.type === "step" && event.step === "start-vmm" && event.status === "done"
              ? [event.detail?.["early"]]
              : []
          )
        )
        assert.deepStrictEqual(early, [[true], [false]])
      })
    )

    it.effect("the VMM has none of the priority that it takes to start it soon", () =>
      Effect.sync(() => {
        for (const { niceness } of jumps) {
          assert.isAbove(niceness.length, 1)
          assert.deepStrictEqual([...new Set(niceness)], ["0"])
        }
      })
    )

    it.effect("the second half started from memory where it was sent along, and else from the disk", () =>
      Effect.sync(() => {
        const started = jumps.map(({ kernelLog }) => /liveupdate-init: starting (.*)/.exec(kernelLog)?.[1])
        assert.deepStrictEqual(started, ["the agent that was sent along", "/usr/lib/liveupdate/early"])
      })
    )

    it.effect("systemd starts `agent resume` as well, which finds nothing to do and no reason to fail", () =>
      Effect.sync(() =>
        assert.deepStrictEqual(
          jumps.map(({ resumeUnit }) => resumeUnit),
          ["success", "success"]
        )
      )
    )

    it.effect("the host's kernel is another one each time, and was handed the guest by the one before", () =>
      Effect.sync(() => {
        assert.strictEqual(jumps.length, 2)
        for (const [index, { release, bootId, kernelLog }] of jumps.entries()) {
          assert.notStrictEqual(release.after, release.before)
          assert.notStrictEqual(bootId.after, bootId.before)
          assert.include(kernelLog, `luo: Retrieved live update data, liveupdate number: ${index + 1}`)
          assert.include(kernelLog, `KHO: exec from: ${release.before} (count ${index + 1})`)
        }
        assert.strictEqual(jumps[1]?.release.after, jumps[0]?.release.before)
      })
    )

    it.effect("the guest booted once, and no tick is missing or comes twice; its own clock went on with them", () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const seen = yield* host.waitForTick(vm)
        GuestConsole.assertUnharmed(seen)
        assert.strictEqual(seen.ticks[0]?.number, 1)
        assert.isAbove(GuestConsole.lastTick(seen), jumps[1]?.lastTickBefore ?? Number.NaN)
        const backwards = seen.ticks.filter((tick, index) => tick.up <= (seen.ticks[index - 1]?.up ?? -1))
        assert.deepStrictEqual(backwards, [])
        assert.deepStrictEqual(seen.complaints, [])
      })
    )

    it.effect("the pattern in the guest's memory has no bad byte, in every pass before and after", () =>
      Effect.gen(function* () {
        const { verdicts } = yield* Effect.flatMap(TestHost.TestHost, (host) => host.console(vm))
        assert.isAtLeast(verdicts.filter((verdict) => verdict.whole).length, 2 * jumps.length)
        assert.deepStrictEqual(
          verdicts.filter((verdict) => verdict.bad !== 0),
          []
        )
      })
    )

    it.effect("every step is reported, in order, by the host that did it; nothing failed or was undone", () =>
      Effect.sync(() => {
        for (const { events, bootId } of jumps) {
          const names = events.flatMap((event) => (event.type === "step" ? [event.step] : []))
          assert.deepStrictEqual([...new Set(names)], steps)
          const ends = events.flatMap((event) => (event.type === "step" && event.status !== "started" ? [event] : []))
          assert.deepStrictEqual(
            ends.map((event) => `${event.step} ${event.status}`),
            steps.filter((step) => step !== "jump").map((step) => `${step} done`)
          )
          const jumped = events.findIndex((event) => event.type === "step" && event.step === "jump")
          assert.deepStrictEqual(
            new Set(events.slice(0, jumped + 1).map((event) => event.boot)),
            new Set([bootId.before])
          )
          assert.deepStrictEqual(new Set(events.slice(jumped + 1).map((event) => event.boot)), new Set([bootId.after]))
          assert.deepInclude(events.at(-1), { type: "outcome", result: "upgraded" })
          assert.strictEqual(new Set(events.map((event) => event.run)).size, 1)
        }
      })
    )

    it.effect("the time line gives all of the blackout to somebody", () =>
      Effect.sync(() => {
        for (const { events, release } of jumps) {
          const line = TimeLine.make(events) ?? assert.fail("no time line")
          assert.deepStrictEqual([line.from, line.to], [release.before, release.after])
          const [blackout, ...others] = line.blackouts
          assert.deepStrictEqual([blackout?.vm, others], [vm, []])
          const { kernel, vmmStart, stateSave, stateLoad, ours, total } = blackout ?? assert.fail("no blackout")
          for (const share of [kernel, vmmStart, stateSave, stateLoad, ours]) assert.isAbove(share, 0)
          assert.approximately(kernel + vmmStart + stateSave + stateLoad + ours, total, 0.001)
          // Two clocks were joined, and more exactly than what is measured with them.
          assert.isBelow(line.uncertainty, kernel)
        }
      })
    )

    it.effect("guest memory passes through no process of ours, and both halves stay small", () =>
      Effect.sync(() => {
        for (const { events } of jumps) {
          const accounts = events.flatMap((event) =>
            event.type === "outcome" || (event.type === "step" && event.step === "jump") ? [event.detail ?? {}] : []
          )
          assert.strictEqual(accounts.length, 2)
          for (const { bytesRead, bytesWritten, peakResidentKiB } of accounts) {
            const bytes = Number(bytesRead) + Number(bytesWritten)
            assert.isAbove(bytes, 0, "the host's kernel counts no bytes (CONFIG_TASK_IO_ACCOUNTING)")
            assert.isBelow(bytes, memoryBytes / 6)
            assert.isBelow(Number(peakResidentKiB), 150 * 1024)
          }
        }
      })
    )

    it.effect("sockets, state and journal are root's alone", () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const listing = yield* host.output("find", "/run/liveupdate", "/var/lib/liveupdate", "-printf", "%U %y %m %p\n")
        const entries = listing.split("\n")
        for (const path of [
          `/run/liveupdate/vms/${vm}/qmp.sock`,
          `/var/lib/liveupdate/vms/${vm}/vm.json`,
          "/events.ndjson"
        ])
          assert.isTrue(
            entries.some((entry) => entry.endsWith(path)),
            `${path} is not there`
          )
        assert.deepStrictEqual(
          entries.filter((entry) => !/^0 (d 700|[fs] 600) /.test(entry)),
          []
        )
      })
    )

    it.effect("the plug is pulled: both disks are whole, and hold every record that the guest has told of", () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const said = yield* host.agent("vm", "stop", "--timeout", "0", "--output", "ndjson", vm)
        assert.strictEqual(said.code, 0, said.stderr)
        // The guest had no time to unmount: what it told of was on the disk by then, or is lost.
        assert.deepInclude(JSON.parse(said.stdout), { id: vm, how: "killed" })
        const { records } = yield* host.console(vm)
        for (const [disk, image] of Object.entries(disks)) yield* GuestDisk.assertWhole(image, records[disk] ?? [])
      })
    )
  }
)
