import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
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

  it("use the numbers that the C macro gives", () => {
    const folder = mkdtempSync(join(tmpdir(), "liveupdate-ioctl-"))
    try {
      const source = join(folder, "numbers.c")
      writeFileSync(
        source,
        `#include <stdio.h>
#include <linux/ioctl.h>
int main(void) { for (int nr = 0; nr < 2; nr++) printf("%u ", _IO(0xBA, nr)); for (int nr = 0x40; nr < 0x44; nr++) printf("%u ", _IO(0xBA, nr)); }`
      )
      execFileSync("cc", ["-o", join(folder, "numbers"), source])
      const numbers = execFileSync(join(folder, "numbers"), { encoding: "utf8" }).trim().split(" ").map(Number)
      assert.deepStrictEqual(numbers, [
        ioctl.CREATE_SESSION,
        ioctl.RETRIEVE_SESSION,
        ioctl.PRESERVE_FD,
        ioctl.RETRIEVE_FD,
        ioctl.FINISH,
        ioctl.GET_NAME
      ])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
