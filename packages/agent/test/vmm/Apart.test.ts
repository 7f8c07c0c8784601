import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Apart from "../../src/vmm/Apart.ts"

const silent = Effect.timeoutFail(Effect.never, { duration: "5 seconds", onTimeout: () => "no answer" })

describe("Apart", () => {
  it.effect("a timeout ends what a finalizer waits for", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(Effect.onError(Effect.fail("first"), () => Apart.run(silent)))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "first")
    })
  )

  it.effect("whoever interrupts waits for its end", () =>
    Effect.gen(function* () {
      let cleaned = false
      const clean = Effect.zipRight(
        Effect.sleep("1 second"),
        Effect.sync(() => {
          cleaned = true
        })
      )
      const fiber = yield* Effect.fork(Effect.onInterrupt(Effect.never, () => Apart.run(clean)))
      yield* Effect.yieldNow()
      const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(interrupting)
      assert.isTrue(cleaned)
    })
  )
})
