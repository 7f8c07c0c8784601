import { spawn } from "node:child_process"
import { fchmodSync, readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Memfd from "../src/Memfd.ts"
import * as Token from "../src/Token.ts"

const openDescriptors = () => readdirSync("/proc/self/fd").length

/** A child that inherits the memfd as its descriptor 3 and lives as long as the scope. */
const childHolding = (memfd: Memfd.Memfd) =>
  Effect.acquireRelease(
    Effect.async<ReturnType<typeof spawn>, Error>((resume) => {
      const child = spawn("sleep", ["infinity"], { stdio: ["ignore", "ignore", "ignore", memfd.fd] })
      child.once("spawn", () => resume(Effect.succeed(child)))
      child.once("error", (error) => resume(Effect.fail(error)))
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("Memfd", () => {
  it.scoped("has the size that was asked for", () =>
    Effect.gen(function* () {
      const memfd = yield* Memfd.create({ name: "ram", size: 3 * 4096 })
      assert.strictEqual(yield* Memfd.size(memfd), 3 * 4096)
    })
  )

  it.effect("is closed with its scope", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(Memfd.create({ name: "warm-up", size: 4096 }))
      const before = openDescriptors()
      const fd = yield* Effect.scoped(
        Effect.map(Memfd.create({ name: "ram", size: 4096 }), (memfd) => {
          assert.strictEqual(openDescriptors(), before + 1)
          return memfd.fd
        })
      )
      assert.isAbove(fd, 2)
      assert.strictEqual(openDescriptors(), before)
    })
  )

  it.scoped("is the same file when adopted from another process", () =>
    Effect.gen(function* () {
      const memfd = yield* Memfd.create({ name: "ram", size: 8192 })
      const child = yield* childHolding(memfd)
      const adopted = yield* Memfd.adopt({ pid: child.pid ?? 0, fd: 3 })
      yield* Memfd.write(adopted, 4096, Buffer.from("written by one"))
      assert.strictEqual((yield* Memfd.read(memfd, 4096, 14)).toString(), "written by one")
    })
  )

  it.scoped("says which descriptor of which process is missing", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Memfd.adopt({ pid: process.pid, fd: 4000 }))
      assert.strictEqual(error._tag, "NotFound")
      assert.include(error.message, `/proc/${process.pid}/fd/4000`)
    })
  )

  it.scoped("keeps its seals", () =>
    Effect.gen(function* () {
      const memfd = yield* Memfd.create({ name: "ram", size: 4096 })
      yield* Memfd.addSeals(memfd, "shrink", "grow")
      const seals = yield* Memfd.getSeals(memfd)
      assert.includeMembers([...seals], ["shrink", "grow"])
      assert.notInclude(seals, "seal")
    })
  )

  it.scoped("is refused when it would come back read-only", () =>
    Effect.gen(function* () {
      const memfd = yield* Memfd.create({ name: "ram", size: 4096 })
      yield* Memfd.check(memfd)
      // As MFD_NOEXEC_SEAL leaves it: no execute bits, so that F_SEAL_EXEC alone is set.
      yield* Effect.sync(() => fchmodSync(memfd.fd, 0o600))
      yield* Memfd.addSeals(memfd, "exec")
      assert.deepStrictEqual(yield* Memfd.getSeals(memfd), ["exec"])
      const error = yield* Effect.flip(Memfd.check(memfd))
      assert.deepStrictEqual(error._tag === "NotPreservable" ? error.reasons : error, ["exec-sealed"])
      assert.include(error.message, "read-only")
    })
  )

  it("can't be given where an owned handle is asked for once it is managed", () => {
    const managed: Memfd.Managed = Memfd.Memfd.manage({ fd: 3, session: "vm-1", token: Token.make(1n) })
    // @ts-expect-error a managed memfd may not be sealed
    const seal = () => Memfd.addSeals(managed, "seal")
    assert.isFunction(seal)
  })
})
