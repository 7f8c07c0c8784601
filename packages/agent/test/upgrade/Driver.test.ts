import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Driver from "../../src/upgrade/Driver.ts"
import * as Machine from "../../src/upgrade/Machine.ts"
import * as Phase from "../../src/upgrade/Phase.ts"

const phases = [
  Phase.host("preflight", "before", Duration.minutes(1)),
  Phase.vm("pause", "before", Duration.seconds(10), { barrier: true, concurrency: 1 }),
  Phase.host("jump", "at", Duration.infinity)
]

/** A run of two VMs whose phases do what they are told to, and everything that was done, in order. */
const drive = (
  effects: Partial<Record<string, Effect.Effect<unknown, unknown>>>,
  options: { readonly force?: Effect.Effect<"told" | "too-late"> } = {}
) => {
  const did: Array<string> = []
  const say = (text: string) => Effect.sync(() => void did.push(text))
  const run = Driver.drive({
    phases,
    first: Machine.begin(phases),
    work: {
      run: ({ name }, vm) =>
        Effect.zipRight(
          say(`${name}${vm ?? ""}`),
          effects[`${name}${vm ?? ""}`] ??
            (name === "preflight" ? Effect.succeed(["1", "2"]) : name === "jump" ? Effect.fail("no") : Effect.void)
        ),
      undo: ({ name }, vm) =>
        Effect.zipRight(say(`undo ${name}${vm ?? ""}`), effects[`undo ${name}${vm ?? ""}`] ?? Effect.void)
    },
    ...options,
    conclude: (ended) => Effect.as(say(ended.result), ended)
  })
  return { did, run }
}

describe("Driver", () => {
  it.effect("phases in order, and back when one fails", () =>
    Effect.gen(function* () {
      const { did, run } = drive({})
      const { failures, state } = yield* run
      assert.deepStrictEqual(did, [
        "preflight",
        "pause1",
        "pause2",
        "jump",
        "undo pause1",
        "undo pause2",
        "rolled-back"
      ])
      assert.deepStrictEqual(failures, [{ phase: "jump", vm: undefined, cause: "no" }])
      assert.deepStrictEqual(state.notUndone, [])
    })
  )

  it.effect("a phase that is late fails, and is undone; a defect is a failure like any other", () =>
    Effect.gen(function* () {
      const late = drive({ pause1: Effect.never })
      const fiber = yield* Effect.fork(late.run)
      yield* TestClock.adjust("11 seconds")
      const { failures } = yield* Fiber.join(fiber)
      assert.strictEqual(String(failures[0]?.cause), "DeadlineExceeded: pause of VM 1 was not done within 10s.")
      assert.include(late.did, "undo pause1")
      assert.notInclude(late.did, "jump")

      const defect = drive({ pause2: Effect.die(new Error("a bug")) })
      assert.match(String((yield* defect.run).failures[0]?.cause), /a bug/)
      assert.strictEqual(defect.did.at(-1), "rolled-back")
    })
  )

  it.effect("an undo that fails doesn't keep the others from being undone, and is told", () =>
    Effect.gen(function* () {
      const { did, run } = drive({ "undo pause1": Effect.fail("it hangs") })
      const { state } = yield* run
      assert.deepStrictEqual(state.notUndone, ["1"])
      assert.include(did, "undo pause2")
    })
  )

  it.effect("what an undo waits for may end it: its timeouts do their work, in a run that was interrupted, too", () =>
    Effect.gen(function* () {
      for (const interrupts of [false, true]) {
        const { did, run } = drive({
          pause1: interrupts ? Effect.never : Effect.fail("no"),
          "undo pause1": Effect.timeoutFail(Effect.never, { duration: "5 seconds", onTimeout: () => "no answer" })
        })
        const fiber = yield* Effect.fork(run)
        yield* TestClock.adjust("1 second")
        if (interrupts) yield* Effect.fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust("20 seconds")
        yield* Fiber.await(fiber)
        assert.includeMembers(did, ["undo pause1", "undo pause2", "rolled-back"])
      }
    })
  )

  it.effect("interrupted, it waits for what is under way, undoes, and only then ends", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      const { did, run } = drive({ pause1: Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(gate)) })
      const fiber = yield* Effect.fork(run)
      yield* Deferred.await(begun)
      const ended = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(did, ["preflight", "pause1"])
      yield* Deferred.succeed(gate, undefined)
      const exit = yield* Fiber.join(ended)
      assert.strictEqual(exit._tag, "Failure")
      // The second one had its turn already: what has begun is brought to its end.
      assert.deepStrictEqual(did.slice(-3), ["undo pause1", "undo pause2", "rolled-back"])
      assert.notInclude(did, "jump")
    })
  )

  it.effect("forced, it doesn't wait", () =>
    Effect.gen(function* () {
      const force = yield* Deferred.make<"told">()
      const begun = yield* Deferred.make<void>()
      const { did, run } = drive(
        { pause1: Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never) },
        { force: Deferred.await(force) }
      )
      const fiber = yield* Effect.fork(run)
      yield* Deferred.await(begun)
      yield* Deferred.succeed(force, "told")
      const { state } = yield* Fiber.join(fiber)
      assert.strictEqual(state.why?.cause, "told")
      assert.include(did, "undo pause1")
      assert.strictEqual(did.at(-1), "rolled-back")
    })
  )
})
