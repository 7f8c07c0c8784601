import { assert, describe, it } from "@effect/vitest"
import type { Blackout } from "@liveupdate/agent/upgrade/TimeLine"
import * as Blackouts from "../src/Blackouts.ts"
import * as Counting from "../src/Counting.ts"

const blackout = (vm: string, total: number): Blackout => ({
  vm,
  total,
  kernel: total / 2,
  vmmStart: total / 4,
  stateSave: total / 8,
  stateLoad: total / 16,
  ours: total / 16
})

const update = (round: number, ...totals: ReadonlyArray<number>): Blackouts.Update => ({
  round,
  vms: totals.length,
  blackouts: totals.map((total, index) => blackout(`vm-${index}`, total)),
  uncertainty: 1,
  load: 0.5
})

describe("Blackouts", () => {
  it("compares the slowest of many with the one of the same round", () => {
    const updates = [update(1, 1000), update(1, 1500, 2500), update(2, 2000), update(2, 8000, 3000)]
    assert.deepStrictEqual(Blackouts.ratios(updates), [2.5, 4])
    assert.include(Blackouts.render(updates), "slowest of many / one: 3.25 × (median; 2.50, 4.00)")
  })

  it("shows the shares of the slowest, which add up to its blackout", () => {
    const [, row] = Blackouts.render([update(1, 1000, 8000)]).split("\n")
    assert.deepStrictEqual(row?.trim().split(/ +/), "1 2 8.00 4.00 2.00 1.00 0.50 0.50 4.50 0.00 0.5".split(" "))
  })

  it("a round without its other half has no ratio", () => {
    assert.deepStrictEqual(Blackouts.ratios([update(1, 1000), update(2, 1000, 2000)]), [])
    assert.include(Blackouts.render([update(1, 1000)]), "no round is whole")
  })
})

describe("Counting", () => {
  it("sees a count that goes on, and leaves a line alone that is under way", () => {
    const console = "guest kernel 6.1 hypervisor KVM\r\ntick 1 up 0.50\r\ntick 2 up 0.70\r\ntick 3 u"
    assert.deepStrictEqual(Counting.parse(console), { boots: 1, last: 2, gaps: [] })
  })

  it("sees what is missing, what comes twice, and a guest that began anew", () => {
    const console = "guest kernel 6\ntick 1 up 0\ntick 3 up 0\ntick 3 up 0\nguest kernel 6\ntick 1 up 0\n"
    assert.deepStrictEqual(Counting.parse(console), { boots: 2, last: 1, gaps: ["1 → 3", "3 → 3", "3 → 1"] })
  })
})
