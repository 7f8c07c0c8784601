import { assert, describe, it } from "@effect/vitest"
import type { Event } from "../src/upgrade/Event.ts"
import * as TimeLine from "../src/upgrade/TimeLine.ts"

const head = { version: 1, run: "r", type: "step" } as const

/** Two boots whose real-time clock reads 1000 s at the old one's zero and 1060 s at the new one's. */
const old = (monotonic: number, step: string, status: string, detail?: Record<string, unknown>) =>
  ({ ...head, boot: "old", monotonic, step, status, vm: "a", ...(detail ? { detail } : {}) }) as unknown as Event
const young = (monotonic: number, step: string, status: string) =>
  ({ ...head, boot: "new", monotonic, step, status, vm: "a" }) as unknown as Event

const events: ReadonlyArray<Event> = [
  { version: 1, run: "r", boot: "old", monotonic: 50_000, type: "clock", offset: 1_000_000, uncertainty: 2 },
  old(50_000, "preserve-running", "started"),
  old(50_900, "preserve-running", "done"),
  old(58_000, "pause", "started"),
  old(58_010, "pause", "done"),
  old(58_010, "save-state", "started"),
  old(58_070, "save-state", "done"),
  old(58_070, "preserve-state", "started"),
  old(58_090, "preserve-state", "done"),
  { version: 1, run: "r", boot: "old", monotonic: 58_100, type: "step", step: "jump", status: "started" },
  young(500, "retrieve", "started"),
  young(600, "retrieve", "done"),
  young(600, "start-vmm", "started"),
  young(1500, "start-vmm", "done"),
  young(1500, "load-state", "started"),
  young(1560, "load-state", "done"),
  young(1560, "resume", "started"),
  young(1600, "resume", "done"),
  { version: 1, run: "r", boot: "new", monotonic: 2000, type: "clock", offset: 1_060_000, uncertainty: 3 },
  {
    version: 1,
    run: "r",
    boot: "new",
    monotonic: 2000,
    type: "step",
    step: "boot",
    status: "done",
    detail: { from: "7.3.4-a", to: "7.3.4-b", firstProcess: 100, agentStarted: 150 }
  }
]

describe("TimeLine", () => {
  it("joins the clocks of both kernels and splits the blackout", () => {
    const line = TimeLine.make(events)
    assert.deepStrictEqual(line?.blackouts, [
      { vm: "a", total: 3600, kernel: 2000, vmmStart: 900, stateSave: 60, stateLoad: 60, ours: 580 }
    ])
    assert.strictEqual(line?.uncertainty, 5)
    assert.deepStrictEqual([line?.from, line?.to], ["7.3.4-a", "7.3.4-b"])
  })

  it("counts a VMM that started beside us as its own while we waited for it, and as ours when it was there first", () => {
    const beside = (waitedMs: number) =>
      TimeLine.make(
        events.map((event) =>
          event.type === "step" && event.step === "start-vmm"
            ? event.status === "started"
              ? { ...event, monotonic: 140 }
              : { ...event, detail: { early: true, waitedMs } }
            : event
        )
      )?.blackouts[0]
    const [slower, faster] = [beside(300), beside(4)]
    assert.deepStrictEqual([slower?.vmmStart, slower?.ours, slower?.total], [1360, 120, 3600])
    assert.deepStrictEqual([faster?.vmmStart, faster?.ours, faster?.total], [4, 1476, 3600])
  })

  it("puts what happened while the guest ran before the zero", () => {
    const bar = TimeLine.make(events)?.bars.find((_) => _.step === "preserve-running")
    assert.deepStrictEqual(bar, { step: "preserve-running", vm: "a", start: -8000, duration: 900 })
  })

  it("shows how long our own process took to be there", () => {
    const bars = TimeLine.make(events)?.bars.filter((_) => _.step === "boot" || _.step === "start-agent")
    assert.deepStrictEqual(bars, [
      { step: "boot", start: 2100, duration: 50 },
      { step: "start-agent", start: 2150, duration: 350 }
    ])
  })

  it("is undefined as long as the second half is missing", () => {
    for (let length = 0; length < events.length; length++)
      assert.isUndefined(TimeLine.make(events.slice(0, length)), `${length} events`)
  })

  it("draws every share", () => {
    const line = TimeLine.make(events)
    const text = line === undefined ? "" : TimeLine.render(line)
    assert.include(text, "a: blackout 3600 ms (±5 ms)")
    assert.include(text, "kernel 2000 ms · VMM start 900 ms · state save 60 ms · state load 60 ms · ours 580 ms")
  })
})
