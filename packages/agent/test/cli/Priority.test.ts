import * as Os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Priority from "../../src/cli/Priority.ts"

const withNiceness = (niceness: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Os.getPriority()
      Os.setPriority(niceness)
      return before
    }),
    (before) => Effect.sync(() => Os.setPriority(before))
  )

describe("the priority of whoever guests wait for", () => {
  it.scoped("is given back", () =>
    Effect.gen(function* () {
      yield* withNiceness(-5)
      yield* Priority.giveBack
      assert.strictEqual(Os.getPriority(), 0)
    })
  )

  it.scoped("a niceness that the operator chose stays", () =>
    Effect.gen(function* () {
      yield* withNiceness(7)
      yield* Priority.giveBack
      assert.strictEqual(Os.getPriority(), 7)
    })
  )
})
