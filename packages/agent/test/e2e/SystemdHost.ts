/**
 * A host whose systemd has something of others to keep: a service with a file descriptor store of its own, beside the agent's.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Event from "../../src/upgrade/Event.ts"
import * as JournalRecord from "../../src/upgrade/JournalRecord.ts"
import * as TimeLine from "../../src/upgrade/TimeLine.ts"
import * as GuestConsole from "./GuestConsole.ts"
import * as ProgramBundle from "./ProgramBundle.ts"
import * as TestHost from "./TestHost.ts"

export const vm = "web-1"

const content = "what the cache holds"
const found = "/var/lib/e2e/cache.found"
const passed = "/var/lib/e2e/passed"
const program = ProgramBundle.inside("cache")

const cacheUnit = `[Unit]
Description=A service that keeps its memory in systemd's store
[Service]
Type=notify
FileDescriptorStoreMax=1
FileDescriptorStorePreserve=yes
ExecStart=/usr/lib/liveupdate/node ${program} ${found} "${content}"
[Install]
WantedBy=multi-user.target
`

/** Writes down what systemd passes to the agent, and is the agent then. */
const witness = `[Service]
ExecStart=
ExecStart=/bin/sh -c 'echo "$$LISTEN_FDNAMES" >${passed}; exec /usr/lib/liveupdate/early'
`

export const prepare = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const drop = "/etc/systemd/system/liveupdate-resume.service.d"
  yield* host.output("mkdir", "-p", "/var/lib/e2e", drop)
  yield* host.write(program, yield* ProgramBundle.make(new URL("programs/cache.ts", import.meta.url)))
  yield* host.write("/etc/systemd/system/cache.service", cacheUnit)
  yield* host.write(`${drop}/witness.conf`, witness)
  yield* host.booted
  yield* host.output("systemctl", "daemon-reload")
  yield* host.output("systemctl", "enable", "--now", "cache.service")
  yield* host.runVm({
    id: vm,
    memory: "192M",
    ...TestHost.demoGuest,
    cmdline: "console=ttyS0 quiet pattern=64M"
  })
  yield* host.waitForTick(vm, 3)
})

/** Words of the journal's records of a run, by their `MESSAGE_ID`; waits for the record that ends it. */
export const journaled = (run: string, result: "upgraded" | "rolled-back") =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const last = `journalctl -q LIVEUPDATE_RUN=${run} MESSAGE_ID=${JournalRecord.messageIds[result]}`
    yield* host.output("timeout", "60", "sh", "-c", `until ${last} | grep -q .; do sleep 0.1; done`)
    const of = (id: string) =>
      Effect.map(
        host.output(
          "journalctl",
          "-q",
          "-o",
          "cat",
          "--output-fields=LIVEUPDATE_STEP",
          `LIVEUPDATE_RUN=${run}`,
          `MESSAGE_ID=${id}`
        ),
        (text) => text.split("\n")
      )
    return {
      done: yield* of(JournalRecord.messageIds.done),
      failed: yield* of(JournalRecord.messageIds.failed),
      undone: yield* of(JournalRecord.messageIds.undone)
    }
  })

/** Of the VMM's place among systemd's units. */
export const place = Effect.flatMap(TestHost.TestHost, (host) =>
  host.output("sh", "-c", "cat /proc/$(pgrep -x qemu-system-x86)/cgroup")
)

/** What a live update left on the host. */
export interface Round {
  readonly events: ReadonlyArray<Event.Event>
  readonly blackoutMs: number
  /** What the other service found in its store at its start, with its name; empty where there was nothing. */
  readonly cache: string
  /** Names of what systemd passed to the agent. */
  readonly passed: string
  /** Steps that the journal of the next kernel's boot has as done. */
  readonly steps: ReadonlyArray<string>
  readonly place: string
  /** What systemd's last process before the jump could not do with the device. */
  readonly complaints: string
}

export const kept = `cache=${content}`

/** One live update, and the guest lives through it. */
export const round = (way: "direct" | "systemd") =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const bootId = yield* host.bootId
    const before = GuestConsole.lastTick(yield* host.console(vm))
    const said = yield* host.agent(
      "upgrade",
      "--vm",
      vm,
      "--kernel",
      yield* host.otherKernel,
      "--jump",
      way,
      "--output",
      "ndjson"
    )
    const events = TestHost.eventsOf(said)
    assert.deepInclude(events.at(-1), { type: "outcome", result: "upgraded" })
    assert.notStrictEqual(yield* host.bootId, bootId)
    const console = yield* host.waitForTick(vm)
    GuestConsole.assertUnharmed(console)
    assert.isAbove(GuestConsole.lastTick(console), before)
    assert.deepStrictEqual(
      console.verdicts.filter(({ bad }) => bad !== 0),
      []
    )
    yield* host.booted
    yield* host.keeperGone
    const [blackout] = TimeLine.make(events)?.blackouts ?? []
    return {
      events,
      blackoutMs: blackout?.total ?? assert.fail("no time line"),
      cache: yield* host.output("cat", found),
      passed: yield* host.output("cat", passed),
      steps: (yield* journaled(events[0]?.run ?? "", "upgraded")).done,
      place: yield* place,
      complaints: yield* host.output("sh", "-c", "dmesg | grep -E 'systemd.*/dev/liveupdate' || true")
    } satisfies Round
  })

/** What the second half does. */
export const secondHalf = ["retrieve", "start-vmm", "load-state", "resume", "verify", "finish", "boot"]

/** What is left of the sessions anywhere: in systemd's stores, in the keeper's hands, in the device's. */
export const left = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const stored = yield* host.output(
    "systemctl",
    "show",
    "--property=NFileDescriptorStore",
    "--value",
    "liveupdate-resume.service"
  )
  const holders = yield* host.output(
    "sh",
    "-c",
    "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -E 'luo_session|/dev/liveupdate' || true"
  )
  const mark = yield* host.inside("test", "-e", "/var/lib/liveupdate/systemd-jump")
  return { stored, holders, marked: mark.code === 0 }
})

export const nothing = { stored: "0", holders: "", marked: false }

export const inSlice = `0::/liveupdate.slice/liveupdate-vm-${vm}.scope`
