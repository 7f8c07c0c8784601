import { assert, describe, it } from "@effect/vitest"
import * as Exposition from "../../src/metrics/Exposition.ts"
import * as Metrics from "../../src/metrics/Metrics.ts"
import * as Tally from "../../src/metrics/Tally.ts"
import type * as Event from "../../src/upgrade/Event.ts"
import { event, rolledBack, threeVms } from "../report/runs.ts"
import { samplesOf } from "./hosts.ts"

const now = { version: "0", bootId: "new", release: "7.3.4", running: 0, parked: 0 }

const rendered = (total: Tally.Tally, events: ReadonlyArray<Event.Event> = []) =>
  samplesOf(Exposition.render(Metrics.families({ total, runs: [{ run: "20261127T201520Z-77", events }] }, now)))

const ofRun = (events: ReadonlyArray<Event.Event>) => rendered(Tally.ofRun("20261127T201520Z-77", events), events)

/** What may not go down. */
const countersOf = (events: ReadonlyArray<Event.Event>) =>
  new Map([...ofRun(events)].filter(([name]) => /_(total|bucket|sum|count)(\{|$)/.test(name)))

/** A VM that can't be started on the next kernel, is parked, and comes back when the operator has seen to it. */
const parkedOnce = [
  event("old", 900, { step: "preflight", status: "done", detail: { from: "7.2.13", to: "7.3.4", vms: ["a"] } }),
  event("old", 950, { type: "clock", offset: 1_000_000, uncertainty: 3 }),
  event("old", 1000, { step: "pause", status: "started", vm: "a" }),
  event("old", 1010, { step: "pause", status: "done", vm: "a" }),
  event("old", 1100, { step: "jump", status: "started", detail: { way: "systemd", sessions: 2, files: 4 } }),
  event("new", 2000, { step: "retrieve", status: "started", vm: "a" }),
  event("new", 2010, { step: "retrieve", status: "done", vm: "a" }),
  event("new", 2010, { step: "start-vmm", status: "started", vm: "a" }),
  event("new", 2500, {
    step: "start-vmm",
    status: "failed",
    vm: "a",
    detail: { reason: "no such program", error: "VmmStartFailed", operation: "spawn", errno: "ENOENT" }
  }),
  event("new", 3000, { type: "clock", offset: 1_001_500, uncertainty: 3 }),
  event("new", 3001, {
    step: "boot",
    status: "done",
    detail: { from: "7.2.13", to: "7.3.4", firstLine: 0, firstProcess: 1200, agentStarted: 1900 }
  }),
  event("new", 3002, { type: "outcome", result: "needs-operator", message: "a failed at restore" }),
  event("new", 90_000, { step: "start-vmm", status: "started", vm: "a" }),
  event("new", 90_500, { step: "start-vmm", status: "done", vm: "a" }),
  event("new", 90_600, { step: "resume", status: "started", vm: "a" }),
  event("new", 90_610, { step: "resume", status: "done", vm: "a" }),
  event("new", 90_700, { step: "finish", status: "started", vm: "a" }),
  event("new", 90_710, { step: "finish", status: "done", vm: "a" }),
  event("new", 91_500, { type: "clock", offset: 1_001_600, uncertainty: 3 }),
  event("new", 91_501, {
    step: "boot",
    status: "done",
    detail: { from: "7.2.13", to: "7.3.4", firstLine: 0, firstProcess: 1200, agentStarted: 89_900 }
  }),
  event("new", 91_502, { type: "outcome", result: "upgraded", message: "done" })
]

describe("what is counted of a run", () => {
  it("three VMs that came through, as a host has recorded it", () => {
    const seen = ofRun(threeVms)
    const value = (name: string) => seen.get(name) ?? assert.fail(`no ${name}`)
    assert.strictEqual(value('liveupdate_runs_total{result="succeeded"}'), 1)
    assert.strictEqual(value('liveupdate_runs_total{result="rolled_back"}'), 0)
    assert.strictEqual(value('liveupdate_kexecs_total{way="direct"}'), 1)
    assert.strictEqual(value('liveupdate_preserved_bytes_total{content="memory"}'), 3 * 100663296)
    assert.strictEqual(value('liveupdate_blackout_seconds_count{result="succeeded"}'), 3)
    assert.strictEqual(value('liveupdate_phase_duration_seconds_count{phase="pause"}'), 3)
    assert.strictEqual(value('liveupdate_phase_duration_seconds_count{phase="jump"}'), 1)
    const shares = [...seen].filter(([name]) => name.startsWith("liveupdate_blackout_share"))
    assert.lengthOf(shares, 5)
    assert.approximately(
      shares.reduce((total, [, share]) => total + share, 0),
      value('liveupdate_blackout_seconds_sum{result="succeeded"}'),
      1e-4
    )
    // The last outcome, by the real-time clock.
    const last = value('liveupdate_last_run_timestamp_seconds{result="succeeded"}')
    assert.approximately(last, Date.UTC(2026, 10, 27, 20, 15, 20) / 1000, 120)
  })

  it("one that was rolled back: its guest stood still for 300 ms, and which step failed", () => {
    const seen = ofRun(rolledBack())
    assert.strictEqual(seen.get('liveupdate_runs_total{result="rolled_back"}'), 1)
    assert.strictEqual(seen.get('liveupdate_blackout_seconds_sum{result="rolled_back"}'), 0.3)
    assert.strictEqual(seen.get('liveupdate_errors_total{step="save-state",error="unknown",operation="",errno=""}'), 1)
    assert.strictEqual(seen.get('liveupdate_kexecs_total{way="direct"}'), 0)
    assert.isUndefined(seen.get('liveupdate_phase_duration_seconds_count{phase="save-state"}'))
  })

  it("a failure that no step tells of is in the outcome, and counts once", () => {
    const told = (detail: Record<string, unknown>) => [
      ...rolledBack().slice(0, -1),
      event("old", 1400, { type: "outcome", result: "rolled-back", message: "undone", detail })
    ]
    const errors = (events: ReadonlyArray<Event.Event>) =>
      [...ofRun(events)].filter(([name]) => name.startsWith("liveupdate_errors_total")).length
    assert.strictEqual(errors(told({ phase: "save-state", reason: "no room" })), 1)
    const late = told({ phase: "jump", reason: "too late", error: "DeadlineExceeded" })
    assert.strictEqual(errors(late), 2)
    assert.strictEqual(
      ofRun(late).get('liveupdate_errors_total{step="jump",error="DeadlineExceeded",operation="",errno=""}'),
      1
    )
  })

  it("one that was parked and came back counts under both, its jump once, its error by operation and errno", () => {
    const seen = ofRun(parkedOnce)
    for (const [name, value] of Object.entries({
      'liveupdate_runs_total{result="parked"}': 1,
      'liveupdate_runs_total{result="succeeded"}': 1,
      'liveupdate_kexecs_total{way="systemd"}': 1,
      liveupdate_sessions_preserved_total: 2,
      liveupdate_files_preserved_total: 4,
      'liveupdate_errors_total{step="start-vmm",error="VmmStartFailed",operation="spawn",errno="ENOENT"}': 1,
      'liveupdate_blackout_seconds_count{result="succeeded"}': 1,
      'liveupdate_kernel_info{release="7.3.4",previous_release="7.2.13"}': 1,
      liveupdate_runs_unfinished: 0
    }))
      assert.strictEqual(seen.get(name), value, name)
  })

  it("no counter goes down while a log grows", () => {
    for (const events of [threeVms, rolledBack(), parkedOnce]) {
      let before: ReadonlyMap<string, number> = new Map()
      for (let length = 1; length <= events.length; length++) {
        const after = countersOf(events.slice(0, length))
        for (const [name, value] of before)
          assert.isAtLeast(after.get(name) ?? -1, value, `${name}, with ${length} events`)
        before = after
      }
    }
  })

  it("a run without an outcome counts as unfinished, and as nothing else", () => {
    const seen = ofRun(rolledBack().slice(0, -1))
    assert.strictEqual(seen.get("liveupdate_runs_unfinished"), 1)
    assert.deepStrictEqual(Tally.ofRun("r", rolledBack().slice(0, -1)), Tally.empty)
  })
})
