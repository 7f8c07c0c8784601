import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { numbers } from "../src/internal/errno.ts"
import { Kernel } from "../src/internal/Kernel.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as Kexec from "../src/Kexec.ts"

/** A kernel that refuses the jump with this errno. */
const refusing = (errno: number, imageLoaded: boolean) =>
  Effect.flip(Kexec.jump).pipe(
    Effect.provide(Kexec.layer),
    Effect.provideService(Kernel, {
      ...systemCalls,
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

  it.effect("passes on what a file's freeze said", () =>
    Effect.map(refusing(numbers.EOPNOTSUPP, true), (error) => {
      assert.strictEqual(error._tag, "FreezeFailed")
      assert.strictEqual(error.errno, "EOPNOTSUPP")
    })
  )
})
