import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Recovery from "../../src/upgrade/Recovery.ts"

const pending: Recovery.Pending = { version: 1, run: "20261127T120000Z-1", vms: ["a", "b"] }

const place = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "liveupdate-recovery-"))),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
  ),
  (directory) => join(directory, "run", "upgrade.json")
)

describe("Recovery", () => {
  it.scoped("a run is noted while it lasts, for its owner's eyes, and forgotten when all of it is undone", () =>
    Effect.gen(function* () {
      const file = yield* place
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Recovery.note(pending, () => false, file)
          assert.deepStrictEqual(yield* Recovery.leftBehind(file), pending)
          assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)
        })
      )
      assert.isUndefined(yield* Recovery.leftBehind(file))
    })
  )

  it.scoped("a run whose undo failed stays noted, until somebody has undone it", () =>
    Effect.gen(function* () {
      const file = yield* place
      yield* Effect.scoped(Recovery.note(pending, () => true, file))
      assert.deepStrictEqual(yield* Recovery.leftBehind(file), pending)
      yield* Recovery.clear(file)
      assert.isUndefined(yield* Recovery.leftBehind(file))
    })
  )
})
