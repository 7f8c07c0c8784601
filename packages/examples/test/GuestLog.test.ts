import { assert, describe, it } from "@effect/vitest"
import * as GuestLog from "../src/GuestLog.ts"

const before = `guest kernel 7.3.4 hypervisor KVMKVMKVM clocksource kvm-clock pattern 4096 seed 1
tick 1 up 1.00
tick 2 up 1.20
pattern pass 1 ok 4096 bad 0
tick 3 up 1.40
`
const after = `tick 4 up 1.61
pattern pass 2 ok 4096 bad 0
tick 5 up 1.80
pattern pass 3 ok 4096 bad 0
`
const judge = (first: string, second: string) => GuestLog.judge(first + second, first.length)

describe("GuestLog", () => {
  it("finds the ticks on both sides of the jump", () => {
    const verdict = judge(before, after)
    assert.strictEqual(verdict.lastBefore?.text, "tick 3 up 1.40")
    assert.strictEqual(verdict.firstAfter?.text, "tick 4 up 1.61")
    assert.strictEqual(verdict.ticks, 5)
    assert.isTrue(verdict.sound)
  })

  it("counts in bytes of the console, whose lines end in CR LF, and where the pause may cut one in two", () => {
    const console = (before + after).replaceAll("\n", "\r\n")
    const verdict = GuestLog.judge(console, console.indexOf("tick 4") + 2)
    assert.strictEqual(verdict.lastBefore?.text, "tick 3 up 1.40")
    assert.strictEqual(verdict.firstAfter?.text, "tick 4 up 1.61")
    assert.isTrue(verdict.sound)
  })

  it.each([
    ["a missing tick", before, after.replace("tick 4 up 1.61\n", "")],
    ["a repeated tick", before, after.replace("tick 4", "tick 3")],
    ["an uptime that goes back", before, after.replace("up 1.61", "up 0.20")],
    ["a damaged pattern", before, after.replace("pass 3 ok 4096 bad 0", "pass 3 ok 4088 bad 8")],
    ["no complete pass since the jump", before, after.replace(/pattern pass 3.*\n/, "")],
    ["a guest that stopped", before, ""]
  ])("finds %s", (_, first, second) => {
    assert.isFalse(judge(first, second).sound)
  })
})
