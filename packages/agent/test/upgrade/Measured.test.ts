import { assert, describe, it } from "@effect/vitest"
import * as Event from "../../src/upgrade/Event.ts"
import * as Measured from "../../src/upgrade/Measured.ts"

const event = (boot: string, monotonic: number, more: Record<string, unknown>): Event.Event =>
  Event.parse(JSON.stringify({ version: 1, run: "r", boot, monotonic, type: "step", ...more })) ??
  assert.fail(`no event: ${JSON.stringify(more)}`)

const clock = (boot: string, offset: number) => event(boot, 0, { type: "clock", offset, uncertainty: 1000 })

/** A jump at 5000 of the old kernel's clock, after which the next kernel's zero lies at `zero`, as far as its clock says. */
const jumped = (zero: number, detail: Record<string, unknown> = {}) => [
  clock("old", 0),
  event("old", 4000, { step: "pause", status: "started", vm: "a" }),
  event("old", 5000, { step: "jump", status: "started" }),
  event("new", 900, { step: "retrieve", status: "started", vm: "a" }),
  clock("new", zero),
  event("new", 1000, { step: "boot", status: "done", detail: { firstProcess: 700, agentStarted: 800, ...detail } })
]

const bar = (events: ReadonlyArray<Event.Event>, step: string) =>
  Measured.measure(events).bars.find((bar) => bar.step === step)

describe("Measured", () => {
  it("the next kernel's log says where its own part of the jump begins", () => {
    assert.strictEqual(Measured.measure(jumped(5100)).kernelStart, 1100)
    assert.strictEqual(Measured.measure(jumped(5100, { firstLine: 40 })).kernelStart, 1140)
  })

  it("a clock that lets the next kernel begin before its jump is put right", () => {
    assert.deepInclude(bar(jumped(5100), "jump"), { start: 1000, duration: 800 })
    assert.deepInclude(bar(jumped(4600), "jump"), { start: 1000, duration: 700 })
    assert.deepInclude(bar(jumped(4600, { firstLine: 40 }), "jump"), { start: 1000, duration: 660 })
  })

  it("a step that was tried again has a bar for each try", () => {
    const tries = [
      event("old", 100, { step: "load-state", status: "started", vm: "a" }),
      event("old", 160, { step: "load-state", status: "failed", vm: "a", detail: { reason: "no" } }),
      event("old", 400, { step: "load-state", status: "started", vm: "a" }),
      event("old", 430, { step: "load-state", status: "done", vm: "a" })
    ]
    assert.deepStrictEqual(Measured.measure(tries).bars, [
      { step: "load-state", vm: "a", start: 0, duration: 60, failed: true },
      { step: "load-state", vm: "a", start: 300, duration: 30 }
    ])
  })

  it("one boot needs no clock; a second one without is left out", () => {
    const [, pause, jump, retrieve] = jumped(0)
    assert.isDefined(pause && jump && retrieve)
    if (pause === undefined || jump === undefined || retrieve === undefined) return
    assert.strictEqual(Measured.measure([pause, jump]).at(jump), 1000)
    assert.isUndefined(Measured.measure([clock("old", 0), pause, jump, retrieve]).at(retrieve))
  })
})
