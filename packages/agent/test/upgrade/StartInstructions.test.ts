import { assert, describe, it } from "@effect/vitest"
import * as StartInstructions from "../../src/upgrade/StartInstructions.ts"

const vm: StartInstructions.VmmToStart = {
  session: "liveupdate-vm-a",
  ramToken: 1n,
  runtimeDir: "/run/a",
  logPath: "/log",
  consolePath: "/console",
  qmpPath: "/run/a/qmp.sock",
  command: ["/usr/bin/qemu", "-append", "", "two\nlines"]
}

const nothing: StartInstructions.StartInstructions = { arguments: [], readAhead: [], sessions: [], vms: [] }

describe("StartInstructions", () => {
  it("writes strings with a NUL after each, and counts before what they count", () => {
    const bytes = StartInstructions.encode({
      arguments: ["node", "resume"],
      readAhead: ["/lib/ü"],
      sessions: ["liveupdate-index"],
      vms: [vm]
    })
    assert.strictEqual(
      bytes.toString("utf8"),
      [
        "2\0node\0resume\0",
        "1\0/lib/ü\0",
        "1\0liveupdate-index\0",
        "1\0liveupdate-vm-a\x001\0/run/a\0/log\0/console\0/run/a/qmp.sock\0",
        "4\0/usr/bin/qemu\0-append\0\0two\nlines\0"
      ].join("")
    )
  })

  it("refuses what the other side could not read", () => {
    assert.throws(() => StartInstructions.encode({ ...nothing, readAhead: ["/a\0b"] }), /a NUL inside/)
    assert.throws(() => StartInstructions.encode({ ...nothing, readAhead: ["x".repeat(1 << 20)] }), /at most/)
  })
})
