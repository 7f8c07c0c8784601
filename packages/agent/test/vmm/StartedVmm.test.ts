/** A VMM that the first process has only just forked goes by another name still: it is waited for, and no second one is started. */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as StartedVmm from "../../src/vmm/StartedVmm.ts"
import type { VmPaths } from "../../src/vmm/Vm.ts"
import * as Temporary from "../Temporary.ts"

const runtime = Effect.map(
  Temporary.directory,
  (runtimeDir): VmPaths => ({
    stateDir: runtimeDir,
    runtimeDir,
    qmpPath: join(runtimeDir, "qmp.sock"),
    consolePath: join(runtimeDir, "console.log"),
    logPath: join(runtimeDir, "qemu.log")
  })
)

const command = ["/bin/cat", "-"]

/** A process of that name, which runs the script when a line comes. */
const forked = (name: string, script: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn("/bin/sh", ["-c", `read -r line; ${script}`], {
        argv0: name,
        stdio: ["pipe", "ignore", "inherit"]
      })
      return { child, pid: child.pid ?? assert.fail("not started"), goOn: Effect.sync(() => child.stdin.write("\n")) }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("a VMM that is noted before it is one", () => {
  it.scopedLive("is found when it has become one", () =>
    Effect.gen(function* () {
      const paths = yield* runtime
      const { pid, goOn } = yield* forked("liveupdate-keeper", `exec ${command.join(" ")}`)
      yield* StartedVmm.note(paths, { pid, at: 5 })
      const found = yield* Effect.fork(StartedVmm.find(paths, command))
      yield* Effect.yieldNow()
      yield* goOn
      assert.deepStrictEqual(yield* Fiber.join(found), { pid, at: 5 })
    })
  )

  it.scopedLive("is none when it ends before", () =>
    Effect.gen(function* () {
      const paths = yield* runtime
      const { pid, goOn } = yield* forked("liveupdate-keeper", "exit 127")
      yield* StartedVmm.note(paths, { pid, at: 5 })
      const found = yield* Effect.fork(StartedVmm.find(paths, command))
      yield* Effect.yieldNow()
      yield* goOn
      assert.isUndefined(yield* Fiber.join(found))
    })
  )

  it.scopedLive("isn't waited for when it is another program", () =>
    Effect.gen(function* () {
      const paths = yield* runtime
      const { pid } = yield* forked("something-else", "exit 0")
      yield* StartedVmm.note(paths, { pid, at: 5 })
      assert.isUndefined(yield* StartedVmm.find(paths, command))
    })
  )
})
