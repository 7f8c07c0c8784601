import { assert, describe, it } from "@effect/vitest"
import { DeviceBusy, DeviceMissing } from "@liveupdate/sdk/LiveUpdateError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Turn from "../../src/upgrade/Turn.ts"

const about = { operation: "device.open", path: "/dev/liveupdate" } as const
const busy = new DeviceBusy({ ...about, errno: "EBUSY" })

/** Opens the device when others have had it so many times. */
const device = (times: number) => {
  const tried = { times: 0 }
  const open = Effect.suspend(() => (tried.times++ < times ? Effect.fail(busy) : Effect.succeed("open")))
  return { tried, open }
}

describe("Turn", () => {
  it.effect("who has the device for a moment refuses nobody", () =>
    Effect.gen(function* () {
      const { open, tried } = device(3)
      const opening = yield* Effect.fork(Turn.ofDevice(open))
      yield* TestClock.adjust(Duration.millis(20))
      assert.strictEqual(yield* Fiber.join(opening), "open")
      assert.strictEqual(tried.times, 4)
    })
  )

  it.effect("who keeps it does, after five seconds", () =>
    Effect.gen(function* () {
      const opening = yield* Effect.fork(Effect.flip(Turn.ofDevice(device(Number.POSITIVE_INFINITY).open)))
      yield* TestClock.adjust(Duration.seconds(4.9))
      assert.strictEqual((yield* Fiber.poll(opening))._tag, "None")
      yield* TestClock.adjust(Duration.seconds(0.2))
      assert.strictEqual(yield* Fiber.join(opening), busy)
    })
  )

  it.effect("what waiting doesn't mend is told at once", () =>
    Effect.gen(function* () {
      const missing = new DeviceMissing({ ...about, errno: "ENOENT" })
      assert.strictEqual(yield* Effect.flip(Turn.ofDevice(Effect.fail(missing))), missing)
    })
  )
})
