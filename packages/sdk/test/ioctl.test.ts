import { assert, describe, it } from "@effect/vitest"
import * as ioctl from "../src/internal/ioctl.ts"

describe("ioctl codecs", () => {
  it("lay out the session structs as the kernel's header does", () => {
    const argument = ioctl.sessionArgument("vm-42")
    assert.strictEqual(argument.length, 72)
    assert.strictEqual(argument.toString("hex", 0, 8), "48000000ffffffff")
    assert.strictEqual(argument.toString("latin1", 8, 14), "vm-42\0")
    assert.strictEqual(ioctl.getNameArgument().toString("hex", 0, 8), "4800000000000000")
    assert.strictEqual(ioctl.finishArgument().toString("hex"), "0800000000000000")
  })

  it("lay out the file structs with all 64 bits of the token", () => {
    const argument = ioctl.fileArgument(5, 0xfedc_ba98_7654_3210n)
    assert.strictEqual(argument.toString("hex"), "10000000050000001032547698badcfe")
    assert.strictEqual(ioctl.returnedFd(argument), 5)
  })
})
