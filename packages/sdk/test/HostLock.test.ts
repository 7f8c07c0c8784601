import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HostLock from "../src/HostLock.ts"

describe("HostLock", () => {
  it.scoped("is had by one at a time, and is free again with its scope", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "liveupdate-lock-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const path = join(directory, "host.lock")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* HostLock.acquire(path)
          const error = yield* Effect.flip(Effect.scoped(HostLock.acquire(path)))
          assert.strictEqual(error._tag, "HostLocked")
          assert.include(error.message, "fuser")
        })
      )
      yield* Effect.scoped(HostLock.acquire(path))
    })
  )
})
