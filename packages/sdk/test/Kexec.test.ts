import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { numbers } from "../src/internal/errno.ts"
import { Kernel, type SystemCalls } from "../src/internal/Kernel.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as Kexec from "../src/Kexec.ts"

/** A kernel's log: its words so far, and those that come with the jump. */
const log = (before: ReadonlyArray<string>, atJump: ReadonlyArray<string>) => {
  const records = [...before]
  let next = 0
  const opened = new Set<number>()
  const overrides: Partial<SystemCalls> = {
    openFile: (path) => {
      assert.strictEqual(path, "/dev/kmsg")
      opened.add(77)
      return 77
    },
    seek: () => {
      next = records.length
      return 0
    },
    read: (_fd, bytes) => {
      const record = records[next++]
      if (record === undefined) return -numbers.EAGAIN
      return Buffer.from(`4,1,2,-;${record}\n`).copy(bytes)
    },
    close: (fd) => (opened.delete(fd) ? 0 : -numbers.EBADF),
    reboot: () => {
      records.push(...atJump)
      return Promise.resolve(-numbers.EIO)
    },
    kexecLoaded: () => true
  }
  return { overrides, opened }
}

/** A kernel that refuses the jump with this errno. */
const refusing = (errno: number, imageLoaded: boolean, overrides: Partial<SystemCalls> = {}) =>
  Effect.flip(Kexec.jump).pipe(
    Effect.provide(Kexec.layer),
    Effect.provideService(Kernel, {
      ...systemCalls,
      ...overrides,
      reboot: () => Promise.resolve(-errno),
      kexecLoaded: () => imageLoaded
    })
  )

describe("Kexec.jump", () => {
  it.effect("says that no image is loaded only when none is: a file's freeze answers EINVAL, too", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* refusing(numbers.EINVAL, false))._tag, "KexecNotLoaded")
      const error = yield* refusing(numbers.EINVAL, true)
      assert.strictEqual(error._tag, "FreezeFailed")
      assert.include(error.message, "kexec.jump: EINVAL")
    })
  )

  it.effect("says which file could not be frozen, by what the kernel's log says from the jump on", () => {
    const earlier = "luo: Freeze failed for token[0x9] handler[memfd-v2] err[-ENOMEM]"
    const mine = "luo: Freeze failed for token[0x1f] handler[vfio-pci-v1] err[-EINVAL]"
    const { opened, overrides } = log([earlier], ["kexec: something else", mine, "more"])
    return Effect.gen(function* () {
      const error = yield* Effect.flip(Kexec.jump)
      assert.deepInclude(error, { token: 31n, kind: "vfio", object: "handler vfio-pci-v1" })
      assert.include(error.message, "token 31")
      assert.strictEqual(opened.size, 0)
    }).pipe(Effect.provide(Kexec.layer), Effect.provideService(Kernel, { ...systemCalls, ...overrides }))
  })

  it.effect("fails all the same when the log says nothing, or can't be read", () =>
    Effect.forEach(
      [log(["luo: Freeze failed for token[0x9] handler[memfd-v2]"], []).overrides, { openFile: () => -1 }],
      (overrides) =>
        Effect.map(refusing(numbers.EIO, true, overrides), (error) => {
          assert.strictEqual(error._tag, "FreezeFailed")
          assert.isUndefined(error.token)
        })
    )
  )

  it.effect("passes on what a file's freeze said", () =>
    Effect.map(refusing(numbers.EOPNOTSUPP, true), (error) => {
      assert.strictEqual(error._tag, "FreezeFailed")
      assert.strictEqual(error.errno, "EOPNOTSUPP")
    })
  )
})
