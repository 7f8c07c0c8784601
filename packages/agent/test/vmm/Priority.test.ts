import { spawn } from "node:child_process"
import * as Os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Priority from "../../src/vmm/Priority.ts"

const child = Effect.acquireRelease(
  Effect.sync(() => spawn("sleep", ["60"]).pid ?? assert.fail("sleep can't be started")),
  (pid) => Effect.sync(() => void process.kill(pid))
)

const withPriority = (niceness: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Os.getPriority()
      Os.setPriority(niceness)
      return before
    }),
    (before) => Effect.sync(() => Os.setPriority(before))
  )

describe("the priority of whoever guests wait for", () => {
  it.scoped("is not for its children", () =>
    Effect.gen(function* () {
      yield* withPriority(-5)
      const pid = yield* child
      assert.strictEqual(Os.getPriority(pid), -5)
      Priority.notFor(pid)
      assert.strictEqual(Os.getPriority(pid), 0)
    })
  )

  it.scoped("is given back", () =>
    Effect.gen(function* () {
      yield* withPriority(-5)
      yield* Priority.giveBack
      assert.strictEqual(Os.getPriority(), 0)
    })
  )

  it.scoped("a niceness that the operator chose stays", () =>
    Effect.gen(function* () {
      const pid = yield* child
      Os.setPriority(pid, 7)
      Priority.notFor(pid)
      assert.strictEqual(Os.getPriority(pid), 7)
    })
  )
})
