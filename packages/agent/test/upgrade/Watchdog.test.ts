import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Watchdog from "../../src/upgrade/Watchdog.ts"

/** Its log, which a program that stands for it writes what it was told to. */
const withLog = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "watchdog-"))),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
  ),
  (directory) => Path.join(directory, "log")
)

const sh = (script: string): Watchdog.Command => ({ file: "/bin/sh", args: ["-c", script] })
/** What it hears after the VMs: everything until the agent's end. */
const faithful = sh('read -r vms; echo ready; rest=$(cat); echo "heard $vms, then ${rest:-nothing}" >&2')

const logged = (log: string) =>
  Effect.sync(() => Fs.readFileSync(log, "utf8")).pipe(
    Effect.filterOrFail((text) => text.includes("heard")),
    Effect.retry(Schedule.spaced("10 millis"))
  )

describe("the watchdog", () => {
  it.scopedLive("that can't be started with the first command is started with the next one", () =>
    Effect.gen(function* () {
      const log = yield* withLog
      const refused = sh("read -r vms; echo refused >&2; exit 14")
      const { release } = yield* Watchdog.start([{ file: "/none", args: [] }, refused, faithful], ["a", "b"], log)
      yield* release
      assert.strictEqual(yield* logged(log), "refused\nheard a b, then done\n")
    })
  )

  it.scopedLive("hears nothing of a good end when its agent goes without one", () =>
    Effect.gen(function* () {
      const log = yield* withLog
      const scope = yield* Scope.make()
      yield* Scope.extend(Watchdog.start([faithful], ["a"], log), scope)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* logged(log), "heard a, then nothing\n")
    })
  )

  it.scopedLive("that no command starts is told of, with what the last one said", () =>
    Effect.gen(function* () {
      const log = yield* withLog
      const error = yield* Effect.flip(Watchdog.start([sh("exit 14"), sh("read -r vms; echo what")], ["a"], log))
      assert.include(error.message, "it said what")
    })
  )
})
