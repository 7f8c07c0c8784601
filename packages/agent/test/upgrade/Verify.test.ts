import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/TestClock"
import * as Executable from "../../src/upgrade/Executable.ts"
import { verify } from "../../src/upgrade/Verify.ts"
import type { VmConnection } from "../../src/vmm/Vmm.ts"
import { vmConfig } from "./vmConfig.ts"

const config = vmConfig("web-1")

const unused = Effect.dieMessage("not asked for")

/** Says the numbers one after the other, and goes on saying the last one. */
const connection = (activity: ReadonlyArray<number>, state: "running" | "paused" = "running") =>
  Effect.map(Queue.unbounded<void>(), (asked) => {
    const left = [...activity]
    const vm: VmConnection = {
      pid: 4711,
      ramFd: 3,
      status: Effect.succeed({ state, detail: state }),
      activity: Effect.tap(
        Effect.sync(() => (left.length > 1 ? left.shift() : left[0]) ?? 0),
        () => Queue.offer(asked, undefined)
      ),
      saveBlockers: unused,
      pause: unused,
      resume: unused,
      saveState: () => unused,
      loadState: () => unused,
      quit: unused,
      powerdown: unused,
      exited: unused
    }
    return { vm, asked }
  })

const run = (command: ReadonlyArray<string>, deadline = Duration.seconds(20)) =>
  Executable.run(command, { environment: { LIVEUPDATE_VM: "web-1" }, deadline })

describe("Verify", () => {
  it.effect("a guest whose vCPUs move is alive, however long they took", () =>
    Effect.gen(function* () {
      const { vm, asked } = yield* connection([7, 7, 7, 8])
      const verified = yield* Effect.fork(verify(config, vm))
      for (let looks = 0; looks < 4; looks++) {
        yield* Queue.take(asked)
        yield* TestClock.adjust("20 millis")
      }
      yield* Fiber.join(verified)
    })
  )

  it.effect("one that the VMM calls running and that stands still isn't", () =>
    Effect.gen(function* () {
      const { vm } = yield* connection([7])
      const verified = yield* Effect.fork(Effect.flip(verify(config, vm)))
      yield* TestClock.adjust("19 seconds")
      assert.strictEqual((yield* Fiber.poll(verified))._tag, "None")
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(verified)
      assert.strictEqual(error._tag, "GuestNotAlive")
      assert.include(error.message, "none of its vCPUs has run for 20s")
    })
  )

  it.effect("nor is one that doesn't run at all", () =>
    Effect.gen(function* () {
      const { vm } = yield* connection([1, 2], "paused")
      assert.include((yield* Effect.flip(verify(config, vm))).message, "its VMM says paused")
    })
  )

  it.live("the operator's check has the last word, and is told of which VM", () =>
    Effect.gen(function* () {
      const { vm } = yield* connection([1, 2])
      const check = (script: string) => verify({ ...config, check: ["/bin/sh", "-c", script] }, vm)
      yield* check('[ "$LIVEUPDATE_VM" = web-1 ] && [ "$LIVEUPDATE_VMM_PID" = 4711 ]')
      const { vm: again } = yield* connection([1, 2])
      const error = yield* Effect.flip(
        verify({ ...config, check: ["/bin/sh", "-c", "echo no answer >&2; exit 3"] }, again)
      )
      assert.strictEqual(error.message, "VM web-1 is not alive: its check /bin/sh ended with exit code 3: no answer")
    })
  )
})

describe("Executable", () => {
  it.live("says what became of it: missing, no program, killed, refused", () =>
    Effect.gen(function* () {
      const reason = (command: ReadonlyArray<string>) => Effect.map(Effect.flip(run(command)), (_) => _.reason)
      assert.strictEqual(yield* reason(["/no/such/program"]), "can't be run: ENOENT")
      assert.strictEqual(yield* reason(["/etc/passwd"]), "can't be run: EACCES")
      assert.strictEqual(yield* reason(["/bin/sh", "-c", "kill -KILL $$"]), "was ended by SIGKILL")
      assert.strictEqual(yield* reason(["/bin/sh", "-c", "exit 9"]), "ended with exit code 9")
    })
  )

  it.live("gets no more of our environment than PATH", () =>
    Effect.gen(function* () {
      yield* run(["/bin/sh", "-c", '[ -n "$PATH" ] && [ -z "$HOME" ] && [ "$LIVEUPDATE_VM" = web-1 ]'])
    })
  )

  it.effect("is ended at its deadline", () =>
    Effect.gen(function* () {
      const running = yield* Effect.fork(Effect.flip(run(["/bin/sleep", "1000"], Duration.seconds(3))))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(running)).reason, "was not done within 3s")
    })
  )
})
