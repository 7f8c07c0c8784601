/**
 * Runs a cell of the fault matrix, and looks at how it ended.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Event from "../../src/upgrade/Event.ts"
import * as GuestConsole from "../e2e/GuestConsole.ts"
import * as GuestDisk from "../e2e/GuestDisk.ts"
import * as ProgramBundle from "../e2e/ProgramBundle.ts"
import * as TestHost from "../e2e/TestHost.ts"
import { bystander, disk, doneFile, forget, journal, type Made, make, script, victim } from "./Faults.ts"
import * as Matrix from "./Matrix.ts"

const agent = "/usr/bin/agent"
const host = TestHost.TestHost

/** Somebody has just seen that both guests count; to ask would take seconds each time. */
let bothCount = false

const guest = (id: string) => ({
  id,
  memory: "64M",
  ...TestHost.demoGuest,
  cmdline: TestHost.guestCommandLine("8M", 1000),
  ...(id === victim ? { disks: [{ path: disk, format: "raw" }] } : {})
})

const shell = (text: string) => Effect.flatMap(host, (_) => _.inside("sh", "-c", text))
const output = (text: string) => Effect.flatMap(host, (_) => _.output("sh", "-c", text))

const bootNew = (id: string) =>
  Effect.gen(function* () {
    const { runVm, waitForTick } = yield* host
    yield* runVm(guest(id))
    yield* waitForTick(id, 2)
  })

/** Boots the guest, as if it had never been there. */
const boot = (id: string) =>
  Effect.gen(function* () {
    const { inside } = yield* host
    yield* inside(agent, "vm", "stop", "--timeout", "0", id)
    yield* inside("rm", "-f", TestHost.consoleOf(id))
    yield* bootNew(id)
  })

/** At once: to wait for two guests' boots takes hardly longer than for one's. */
const both = (how: typeof boot) => Effect.forEach([victim, bystander], how, { concurrency: "unbounded", discard: true })

export const start = Effect.gen(function* () {
  yield* GuestDisk.make(disk)
  yield* both(bootNew)
  bothCount = true
})

/** What faults of the matrix need besides. */
export const writeHolder = Effect.gen(function* () {
  const { write } = yield* host
  yield* write(
    "/usr/lib/liveupdate/holder.mjs",
    yield* ProgramBundle.make(new URL("programs/holder.ts", import.meta.url))
  )
})

const countsOn = (id: string) =>
  Effect.gen(function* () {
    const { waitForTick } = yield* host
    const seen = yield* waitForTick(id)
    GuestConsole.assertUnharmed(seen)
    assert.deepStrictEqual(seen.complaints, [])
    assert.deepStrictEqual(
      seen.verdicts.filter(({ bad }) => bad !== 0),
      []
    )
    for (const told of Object.values(seen.records)) assert.deepStrictEqual(GuestConsole.gaps(told), [])
  })

const running = Effect.map(output(`${agent} vm list --output ndjson`), (text) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))
    .flatMap(({ id, state }) => (state === "running" ? [String(id)] : []))
)

/** What is wrong with an earlier cell's end is not this one's. */
const ready = Effect.gen(function* () {
  yield* output(forget)
  if (bothCount) return
  const there = yield* running
  for (const id of [victim, bystander]) if (!there.includes(id)) yield* boot(id)
})

const eventsOfLastRun = Effect.map(
  output("cat /var/lib/liveupdate/runs/$(ls /var/lib/liveupdate/runs | tail -1)/events.ndjson"),
  (text) => Event.parseLines(text.split("\n"))
)

/** Waits until the last run has said how it ended. */
const outcome = Effect.gen(function* () {
  // Seldom, as the guests are coming back meanwhile.
  yield* output(
    `cd /var/lib/liveupdate/runs/$(ls /var/lib/liveupdate/runs | tail -1)
    timeout 240 sh -c 'until tail -n 1 events.ndjson | grep -q outcome; do sleep 0.5; done'`
  )
  const last = (yield* eventsOfLastRun).at(-1)
  return last?.type === "outcome" ? last : assert.fail("the run has no outcome")
})

/** A live update with a fault, of the matrix or another. */
export interface Attempt {
  readonly phase: Matrix.PhaseName
  readonly fault: string
  readonly end: Matrix.End
  readonly made: Made
  /** How it is seen that nothing is left to do. */
  readonly nothingLeft: Effect.Effect<void, never, TestHost.TestHost>
}

/** `agent upgrade` inside, with the fault; the host may be another one afterwards. */
const upgrade = ({ fault, made }: Attempt) =>
  Effect.gen(function* () {
    const { inside, otherKernel, write } = yield* host
    yield* write(script, made.at)
    const target = fault === "image-replaced" ? "/boot/vmlinuz-target" : "$kernel"
    const command = `
      chmod 700 ${script}; kernel=$1; ${made.prepare}
      LIVEUPDATE_CHECKPOINTS=${made.checkpoint}=${script} exec ${agent} upgrade --vm ${victim} --vm ${bystander} --kernel ${target} ${made.options.join(" ")}`
    const kernel = yield* otherKernel
    const said = yield* Effect.exit(Effect.sandbox(inside("sh", "-c", command, "sh", kernel)))
    return said._tag === "Success" ? said.value : ("gone" as const)
  })

type Ended = TestHost.Said | "gone"

const stayed = (said: Ended, ...codes: ReadonlyArray<number>) => {
  if (said === "gone") return assert.fail("the host went through a jump")
  assert.include(codes, said.code, said.stderr)
  return said
}

/** The remedy, then `agent resume`, until nothing is left to do. */
const resumed = (remedy: string) =>
  Effect.gen(function* () {
    yield* output(remedy)
    const said = yield* shell(`${agent} resume`)
    assert.strictEqual(said.code, 0, said.stderr)
  })

const nothingToDo = Effect.gen(function* () {
  const [said, parked] = yield* Effect.all([shell(`${agent} resume`), shell(`${agent} park --list --output ndjson`)], {
    concurrency: "unbounded"
  })
  assert.strictEqual(said.code, 0, said.stderr)
  assert.include(said.stdout, "Nothing to resume")
  assert.strictEqual(yield* output("cat /sys/kernel/kexec_loaded"), "0")
  assert.strictEqual(parked.stdout, "")
})

/** The same as the kernel, the disk and the processes have it: to ask the agent takes seconds, and whoever tries the next cell asks it anyway. */
export const nothingOnRecord = Effect.asVoid(
  output(`set -e
    [ "$(cat /sys/kernel/kexec_loaded)" = 0 ]
    tr -d '\\0' <${journal} | tail -n 1 | grep '"kind":"end"'
    timeout 60 sh -c 'while pgrep -f ^liveupdate-keeper; do sleep 0.1; done'`)
)

/** Of a guest that is parked: what the operator is told. */
const parkedIsTold = Effect.gen(function* () {
  const last = yield* outcome
  assert.strictEqual(last.result, "needs-operator", last.message)
  assert.include(last.message, "agent resume")
  assert.include((yield* shell(`${agent} park --list`)).stdout, `agent discard --vm ${victim} --yes`)
})

type Check = (said: Ended, attempt: Attempt) => Effect.Effect<void, never, TestHost.TestHost>

export const bothCountOn = Effect.forEach([victim, bystander], countsOn, { concurrency: "unbounded", discard: true })

/** As before the live update; the guests are waited for while it is looked what is left. */
const allIsWell = (nothingLeft: Attempt["nothingLeft"]) =>
  Effect.all([bothCountOn, nothingLeft], { concurrency: "unbounded", discard: true })

/** What must be true, by how the cell ends. */
const checks: { readonly [E in Matrix.End]: Check } = {
  refused: (said, { made: { remedy } }) =>
    Effect.gen(function* () {
      stayed(said, 1, 4, 5, 7)
      yield* output(remedy)
      yield* bothCountOn
    }),
  undone: (said, { made: { remedy }, nothingLeft }) =>
    Effect.gen(function* () {
      const { stderr } = stayed(said, 6)
      assert.include(stderr, "Everything was undone")
      yield* output(remedy)
      yield* allIsWell(nothingLeft)
    }),
  "given-back": (said, { made: { remedy } }) =>
    Effect.gen(function* () {
      stayed(said, 6, 7, 137)
      yield* output(remedy)
      yield* Effect.flatMap(host, (_) => _.watchdogGone)
      // Whoever comes next finds the rest, such as a kernel that is loaded still.
      yield* shell(`${agent} resume`)
      yield* bothCountOn
    }),
  upgraded: (said, { fault, made: { remedy }, nothingLeft }) =>
    Effect.gen(function* () {
      assert.strictEqual(said, "gone", said === "gone" ? "" : `${said.code} ${said.stderr}`)
      // On a disk that is full no outcome can be written.
      if (fault === "disk-full") yield* resumed(remedy)
      if ((yield* outcome).result !== "upgraded") yield* resumed("true")
      yield* output(remedy)
      yield* allIsWell(nothingLeft)
    }),
  parked: (said, { phase, made: { remedy }, nothingLeft }) =>
    Effect.gen(function* () {
      assert.strictEqual(said, "gone")
      if (phase === "report") yield* output("sleep 1")
      else yield* parkedIsTold
      yield* countsOn(bystander)
      yield* resumed(remedy)
      yield* allIsWell(nothingLeft)
    }),
  unusable: (said, { made: { remedy } }) =>
    Effect.gen(function* () {
      assert.strictEqual(said, "gone")
      yield* parkedIsTold
      yield* countsOn(bystander)
      yield* output(remedy)
      const given = yield* shell(`${agent} discard --vm ${victim} --yes`)
      assert.strictEqual(given.code, 0, given.stderr)
      yield* boot(victim)
      yield* bothCountOn
    }),
  ended: (said, { phase, made: { remedy } }) =>
    Effect.gen(function* () {
      // Refused in the preflight, undone later.
      if (Matrix.isBefore(phase)) stayed(said, ...(phase === "preflight" ? [1, 5] : [6, 7]))
      else {
        yield* outcome
        yield* shell(`${agent} discard --vm ${victim} --yes`)
      }
      yield* output(remedy)
      yield* countsOn(bystander)
      yield* shell(`${agent} resume`)
      yield* boot(victim)
      yield* bothCountOn
    }),
  "cold-boot": (said, { phase }) =>
    Effect.gen(function* () {
      assert.strictEqual(said, "gone")
      // Nothing was begun in the preflight. Else systemd's start of the resume says so, which need not have come yet.
      if (phase !== "preflight") {
        assert.strictEqual((yield* outcome).result, "cold-boot")
        const status = yield* shell(`${agent} status`)
        assert.include(status.stdout, "cold-boot: ", status.stderr)
      }
      yield* GuestDisk.assertConsistent(disk)
      yield* both(boot)
    }),
  lost: (said) =>
    Effect.gen(function* () {
      assert.strictEqual(said, "gone")
      const last = yield* outcome
      assert.strictEqual(last.result, "lost", last.message)
      assert.include(last.message, `${victim}, ${bystander} is lost`)
      yield* GuestDisk.assertConsistent(disk)
      const { inside, runVm } = yield* host
      yield* inside("rm", "-f", TestHost.consoleOf(victim))
      const [again] = yield* Effect.all([shell(`${agent} resume`), runVm(guest(victim))], { concurrency: "unbounded" })
      assert.strictEqual(again.code, 8, again.stderr)
      assert.include(again.stderr, last.message)
      // A first process that has started the second half doesn't wait for what can't come.
      assert.strictEqual(yield* output("dmesg | grep 'the agent takes long'; true"), "")
    })
}

/** What a cell that failed has left is nobody else's: the host is as after a power cut, with room on its disk. */
const startOver = Effect.exit(
  Effect.sandbox(
    shell(
      `rm -f /var/lib/liveupdate/fill*; [ ! -e ${disk}.away ] || mv ${disk}.away ${disk}; sync; echo b >/proc/sysrq-trigger`
    )
  )
)

export const attempt = (one: Attempt) =>
  Effect.gen(function* () {
    yield* ready
    bothCount = false
    const said = yield* upgrade(one)
    const { end, fault, made } = one
    // A script that ends the agent or the host doesn't come to its own end, nor does one that is ended for being late.
    const endsWithAgent =
      fault === "agent-killed" || fault === "deadline" || (fault === "journal-corrupt" && said !== "gone")
    if (fault !== "power-cut" && !endsWithAgent)
      yield* output(`timeout 120 sh -c 'until [ -e ${doneFile} ]; do sleep 0.2; done'`)
    yield* checks[end](said, one)
    yield* output(made.felt)
    bothCount = true
  }).pipe(Effect.onError(() => startOver))

/** A cell of the matrix. */
export const run = (cell: Matrix.Runnable) => attempt({ ...cell, made: make(cell), nothingLeft: nothingToDo })

/** The matrix as a table, faults down and phases across. */
export const table = (of: (cell: Matrix.Cell) => string): string => {
  const rows = Object.keys(Matrix.faults).map((fault) => [
    fault,
    ...Matrix.phases.map((phase) => {
      const cell = Matrix.cells.find((cell) => cell.fault === fault && cell.phase === phase)
      return cell === undefined ? "?" : of(cell)
    })
  ])
  const all = [["", ...Matrix.phases], ...rows]
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? []
  return all
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
