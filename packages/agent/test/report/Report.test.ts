import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Report from "../../src/upgrade/report/Report.ts"
import * as TimeLine from "../../src/upgrade/TimeLine.ts"
import { begun, cutShort, lost, rolledBack, threeVms } from "./runs.ts"

const whole = Report.make("20261127T201520Z-77", threeVms)
const [web] = whole.vms

describe("the report of a run", () => {
  it("says which kernels, how it ended, and how far the clocks may be off", () =>
    assert.deepInclude(whole, {
      version: 1,
      run: "20261127T201520Z-77",
      from: "7.3.4-host-a",
      to: "7.3.4-host-b",
      result: "upgraded",
      zero: "pause",
      uncertainty: 22.166,
      nextKernel: 1821.759
    }))

  it("has the VMs in the order in which they were named, each with its parts across the jump", () => {
    assert.deepStrictEqual(
      whole.vms.map(({ id }) => id),
      ["web-1", "db-1", "cache-1"]
    )
    assert.deepStrictEqual(
      web?.bars.map(({ part, who }) => `${part} ${who}`),
      [
        "preserve-running ours",
        "pause ours",
        "save-state vmm",
        "preserve-state ours",
        "jump kernel",
        "kernel-boot kernel",
        "boot ours",
        "start-vmm vmm",
        "start-agent ours",
        "retrieve ours",
        "load-state vmm",
        "resume ours",
        "verify ours",
        "finish ours"
      ]
    )
  })

  it("the next kernel's first line divides the jump, its first process ends it", () => {
    const [jump, boot] = (web?.bars ?? []).filter(({ who }) => who === "kernel")
    assert.deepStrictEqual(jump, { part: "jump", who: "kernel", begin: 1653.004, end: 1821.759 })
    assert.deepStrictEqual(boot, { part: "kernel-boot", who: "kernel", begin: 1821.759, end: 3012.284 })
  })

  it("its blackouts are those of the time line, to the microsecond", () => {
    const line = TimeLine.make(threeVms)
    assert.strictEqual(line?.blackouts.length, 3)
    for (const { vm, total, ...shares } of line?.blackouts ?? []) {
      const blackout = whole.vms.find(({ id }) => id === vm)?.blackout
      assert.closeTo((blackout?.end ?? 0) - (blackout?.begin ?? 0), total, 0.002, vm)
      for (const [share, spent] of Object.entries(shares))
        assert.closeTo(blackout?.shares?.[share as keyof typeof shares] ?? 0, spent, 0.001, `${vm} ${share}`)
    }
  })

  it("of a run that was undone: how long the guest stood still on the one kernel, and what failed", () => {
    const report = Report.make("r", rolledBack())
    assert.deepInclude(report, { from: "7.2.13", to: "7.3.4", result: "rolled-back", message: "it was undone" })
    assert.deepStrictEqual(report.vms, [
      {
        id: "a",
        bars: [
          { part: "pause", who: "ours", begin: 0, end: 10 },
          { part: "save-state", who: "vmm", begin: 20, end: 220, failed: true }
        ],
        blackout: { begin: 0, end: 300 }
      }
    ])
  })

  it("of one that was cut short: the blackout has no end", () => {
    const report = Report.make("r", cutShort)
    assert.strictEqual(report.result, "unfinished")
    assert.include(report.message, "agent resume")
    assert.deepStrictEqual(report.vms[0]?.blackout, { begin: 0 })
  })

  it("of one in which nothing was paused: from its first step on, without a blackout", () => {
    const report = Report.make("r", begun)
    assert.strictEqual(report.zero, "first-step")
    assert.deepStrictEqual(report.vms, [{ id: "a", bars: [] }])
    assert.deepStrictEqual(report.host, [{ part: "load-kernel", who: "ours", begin: 100, end: 200 }])
  })

  it("of one without any event there is one, too", () => {
    const report = Report.make("r", [])
    assert.deepInclude(report, { result: "unfinished", host: [], vms: [] })
  })

  it("is what its schema says, in both directions", () => {
    for (const report of [
      whole,
      ...[rolledBack(), cutShort, lost, begun, []].map((events) => Report.make("r", events))
    ]) {
      const text = JSON.stringify(Schema.encodeSync(Report.Report)(report))
      assert.deepStrictEqual(Schema.decodeUnknownSync(Report.Report)(JSON.parse(text)), report)
    }
  })
})
