import { closeSync, mkdtempSync, readlinkSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Custody from "../src/Custody.ts"
import * as Memfd from "../src/Memfd.ts"

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "liveupdate-custody-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

/** The rules of parking don't depend on what the descriptor is; a memfd can be had without a kernel that knows LUO. */
const withParked = <A, E>(use: (parked: Custody.Parked, directory: string) => Effect.Effect<A, E, Custody.Custody>) =>
  Effect.gen(function* () {
    const directory = join(yield* temporaryDirectory, "parked")
    const layer = Custody.layer({ directory })
    return yield* Effect.gen(function* () {
      const custody = yield* Custody.Custody
      const parked = yield* Effect.scoped(
        Effect.gen(function* () {
          const memfd = yield* Memfd.create({ name: "held", size: 4096 })
          yield* Memfd.write(memfd, 0, Buffer.from("still here"))
          return yield* custody.park("vm/1", memfd.fd)
        })
      )
      return yield* Effect.ensuring(use(parked, directory), custody.release("vm/1"))
    }).pipe(Effect.provide(layer))
  })

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe("Custody", () => {
  it.scoped("keeps a descriptor open when everybody else has closed it, and gives it back", () =>
    withParked(() =>
      Effect.scoped(
        Effect.gen(function* () {
          const custody = yield* Custody.Custody
          const fd = yield* Effect.acquireRelease(custody.claim("vm/1"), (fd) =>
            Effect.sync(() => fd !== undefined && closeSync(fd))
          )
          assert.isDefined(fd)
          assert.include(readlinkSync(`/proc/self/fd/${fd}`), "memfd:held")
          const content = yield* Memfd.read({ kind: "memfd", custody: "owned", fd: fd ?? -1 }, 0, 10)
          assert.strictEqual(content.toString(), "still here")
        })
      )
    )
  )

  it.scoped("lists what is parked, in a directory that is its owner's alone", () =>
    withParked((parked, directory) =>
      Effect.gen(function* () {
        const custody = yield* Custody.Custody
        assert.deepStrictEqual(yield* custody.list, [parked])
        assert.strictEqual(statSync(directory).mode & 0o777, 0o700)
        assert.isTrue(isAlive(parked.pid))
      })
    )
  )

  it.scoped("forgets a holder that died, and never signals another process that got its pid", () =>
    withParked((parked) =>
      Effect.gen(function* () {
        const custody = yield* Custody.Custody
        yield* Effect.sync(() => process.kill(parked.pid, "SIGKILL"))
        yield* Effect.iterate(true, {
          while: (alive) => alive,
          body: () => Effect.as(Effect.yieldNow(), isAlive(parked.pid))
        }).pipe(Effect.timeout("5 seconds"), Effect.ignore)
        assert.isUndefined(yield* custody.claim("vm/1"))
      })
    )
  )

  it.scoped("knows nothing of a session that was never parked", () =>
    withParked(() =>
      Effect.gen(function* () {
        const custody = yield* Custody.Custody
        assert.isUndefined(yield* custody.claim("vm/2"))
      })
    )
  )
})
