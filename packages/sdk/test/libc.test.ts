import { assert, describe, it } from "@effect/vitest"
import { EINVAL, ENOTTY } from "../src/internal/errno.ts"
import * as ioctl from "../src/internal/ioctl.ts"
import { systemCalls } from "../src/internal/libc.ts"

const MFD_CLOEXEC = 0x1
const F_ADD_SEALS = 1033
const F_GET_SEALS = 1034

const withMemfd = (use: (fd: number) => void) => {
  const fd = systemCalls.memfdCreate("libc-test", MFD_CLOEXEC)
  assert.isAtLeast(fd, 0)
  try {
    use(fd)
  } finally {
    assert.strictEqual(systemCalls.close(fd), 0)
  }
}

describe("libc", () => {
  it("a refused call says why, each time, and a call after it is not taken for refused", () =>
    withMemfd((fd) => {
      const sealed = systemCalls.fcntl(fd, F_GET_SEALS, 0)
      for (let round = 0; round < 3; round++) {
        assert.strictEqual(systemCalls.fcntl(fd, F_ADD_SEALS, 0x4000), -EINVAL)
        assert.strictEqual(systemCalls.fcntl(fd, F_GET_SEALS, 0), sealed)
      }
    }))

  it("an ioctl of live update leaves an argument that the kernel didn't take as it was", () =>
    withMemfd((fd) => {
      const argument = ioctl.fileArgument(7, 0xffff_ffff_ffff_fff0n)
      const before = Buffer.from(argument)
      assert.strictEqual(systemCalls.ioctl(fd, ioctl.PRESERVE_FD, argument), -ENOTTY)
      assert.deepStrictEqual(argument, before)
    }))

  it("what doesn't fit its C type is refused before the call", () => {
    assert.throws(() => systemCalls.fcntl(0.5, F_GET_SEALS, 0), /argument 0/)
    assert.throws(() => systemCalls.memfdCreate("a\0b", MFD_CLOEXEC), /argument 0/)
    assert.throws(() => systemCalls.openFile("/dev/null\0", 0), /argument 0/)
  })
})
