/**
 * A host whose systemd has something of others to keep: a service with a file descriptor store of its own, beside the agent's.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
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
const fates = "/var/lib/e2e/fates"
const met = "/var/lib/e2e/met"
const fate = "/var/lib/e2e/fate"
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
ExecStart=/bin/sh -c 'echo "$$LISTEN_FDNAMES" >${passed}; cat ${passed} >>${passed}.all; exec /usr/lib/liveupdate/early'
`

/** Run by an agent at the moments of `fated`: does to it what the first line of the list says, if that is for this moment. */
const fateScript = `#!/bin/sh
read -r moment what <${fates} || exit 0
[ "$moment" = "$LIVEUPDATE_HOOK" ] || exit 0
sed -i 1d ${fates}
echo "$moment $what" >>${met}
case $what in
killed) kill -KILL $LIVEUPDATE_AGENT_PID ;;
hung) kill -STOP $LIVEUPDATE_AGENT_PID ;;
refused) echo "not yet" >&2; exit 3 ;;
deserted) pkill -KILL -f "${TestHost.watchdog}"; kill -KILL $LIVEUPDATE_AGENT_PID ;;
esac
`

export const prepare = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const drop = "/etc/systemd/system/liveupdate-resume.service.d"
  yield* host.output("mkdir", "-p", "/var/lib/e2e", drop)
  yield* host.write(program, yield* ProgramBundle.make(new URL("programs/cache.ts", import.meta.url)))
  yield* host.write("/etc/systemd/system/cache.service", cacheUnit)
  yield* host.write(`${drop}/witness.conf`, witness)
  yield* host.write(fate, fateScript)
  yield* host.output("chmod", "755", fate)
  yield* host.booted
  yield* host.output("systemctl", "daemon-reload")
  yield* host.output("systemctl", "enable", "--now", "cache.service")
  yield* host.runVm({
    id: vm,
    memory: "192M",
    ...TestHost.demoGuest,
    cmdline: TestHost.guestCommandLine("64M")
  })
  yield* host.waitForTick(vm, 3)
})

/** A moment of a live update, and what happens to the agent then, once. */
export type Fate = `${"before" | "after"}:${string} ${"killed" | "hung" | "refused" | "deserted"}`

/** Says what is to befall the agents of the next live update, in this order; returns the command that begins it. */
const fatedCommand = (way: "direct" | "systemd", all: ReadonlyArray<Fate>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    yield* host.output("rm", "-f", met, `${passed}.all`)
    yield* host.write(fates, all.map((line) => `${line}\n`).join(""))
    const moments = [...new Set(all.map((line) => `${line.split(" ")[0]}=${fate}`))]
    const kernel = yield* host.otherKernel
    return `LIVEUPDATE_CHECKPOINTS=${moments.join()} exec /usr/bin/agent upgrade --vm ${vm} --kernel ${kernel} --jump ${way}`
  })

/** A live update that doesn't come to its jump, as its agents meet these fates. */
export const fated = (way: "direct" | "systemd", ...all: ReadonlyArray<Fate>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    return yield* host.inside("sh", "-c", yield* fatedCommand(way, all))
  })

/** One that does. What is asked in the moment of the jump has no answer; an agent with an exit code of its own is one that didn't jump. */
export const fatedJump = (way: "direct" | "systemd", ...all: ReadonlyArray<Fate>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const bootId = yield* host.bootId
    const log = "/run/fated.log"
    const command = yield* fatedCommand(way, all)
    yield* host.output("sh", "-c", `setsid sh -c '(${command}); echo "ended with $?"' >${log} 2>&1 </dev/null &`)
    yield* host.output("sh", "-c", `cat /proc/sys/kernel/random/boot_id; cat ${log} 2>/dev/null || true`).pipe(
      Effect.exit,
      Effect.repeat({
        until: (exit) => {
          if (Exit.isFailure(exit)) return false
          const [boot = "", ...said] = exit.value.split("\n")
          if (boot === bootId && /^ended with [1-7]$/.test(said.at(-1) ?? "")) assert.fail(said.join("\n"))
          return boot !== bootId
        },
        schedule: Schedule.spaced("200 millis")
      })
    )
  })

/** Those that were met, and the names of what systemd passed to each start of the unit. */
export const fatesMet = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const lines = (path: string) =>
    Effect.map(host.inside("cat", path), ({ stdout }): ReadonlyArray<string> => stdout.split("\n").slice(0, -1))
  return { met: yield* lines(met), passed: yield* lines(`${passed}.all`) }
})

/** The newest run. */
export const lastRun = Effect.flatMap(TestHost.TestHost, (host) =>
  host.output("sh", "-c", "ls /var/lib/liveupdate/runs | tail -n 1")
)

/** Waits for another boot than this one. What is asked in the moment of the jump has no answer. */
export const jumpedFrom = (bootId: string) =>
  Effect.flatMap(TestHost.TestHost, (host) =>
    Effect.exit(host.bootId).pipe(
      Effect.repeat({
        until: (exit) => Exit.isSuccess(exit) && exit.value !== bootId,
        schedule: Schedule.spaced("200 millis")
      }),
      Effect.asVoid
    )
  )

/** How systemd saw the unit's process end on this boot, each time that it did so badly. Before journald runs, it says so to the kernel's log. */
export const unitFailures = Effect.flatMap(TestHost.TestHost, (host) =>
  Effect.map(
    host.output(
      ...[
        "sh",
        "-c",
        "journalctl -b -q -o cat | sed -n \"s/.*liveupdate-resume.service: Failed with result '\\(.*\\)'.*/\\1/p\""
      ]
    ),
    (text) => text.split("\n").filter((line) => line !== "")
  )
)

/** How liveupdate-recover.service ended on this boot, if need be after its end; `undefined` when it wasn't started. */
export const recovered = Effect.flatMap(TestHost.TestHost, (host) =>
  Effect.map(
    host.output(
      "timeout",
      "60",
      "sh",
      "-c",
      // The run's outcome is in the journal before its process has ended.
      `until [ "$(systemctl show -P ActiveState liveupdate-recover.service)" != activating ]; do sleep 0.1; done
      systemctl show liveupdate-recover.service -p Result -p ExecMainStatus -p ExecMainExitTimestampMonotonic`
    ),
    (text) => {
      const found = new Map(text.split("\n").map((line) => [line.split("=")[0], line.split("=")[1]]))
      return found.get("ExecMainExitTimestampMonotonic") === "0"
        ? undefined
        : { result: found.get("Result"), status: found.get("ExecMainStatus") }
    }
  )
)

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

/** What a jump left on the host. */
export interface Remains {
  /** What the other service found in its store at its start, with its name; empty where there was nothing. */
  readonly cache: string
  /** Names of what systemd passed to the agent. */
  readonly passed: string
  readonly place: string
  /** What systemd's last process before the jump could not do with the device. */
  readonly complaints: string
}

/** Looked at when the host is up. */
export const remains: Effect.Effect<Remains, never, TestHost.TestHost> = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  yield* host.booted
  yield* host.keeperGone
  return {
    cache: yield* host.output("cat", found),
    passed: yield* host.output("cat", passed),
    place: yield* place,
    complaints: yield* host.output("sh", "-c", "dmesg | grep -E 'systemd.*/dev/liveupdate' || true")
  }
})

/** What a live update left. */
export interface Round extends Remains {
  readonly events: ReadonlyArray<Event.Event>
  readonly blackoutMs: number
  /** Steps that the journal of the next kernel's boot has as done. */
  readonly steps: ReadonlyArray<string>
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
    const left = yield* remains
    const [blackout] = TimeLine.make(events)?.blackouts ?? []
    return {
      events,
      blackoutMs: blackout?.total ?? assert.fail("no time line"),
      ...left,
      steps: (yield* journaled(events[0]?.run ?? "", "upgraded")).done
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
