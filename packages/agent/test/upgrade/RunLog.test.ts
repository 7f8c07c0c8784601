import * as Fs from "node:fs"
import { dirname } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Event from "../../src/upgrade/Event.ts"
import * as RunLog from "../../src/upgrade/RunLog.ts"
import * as Temporary from "../Temporary.ts"

const outcome = { type: "outcome", result: "cold-boot", message: "as it is" } as const

/** A directory of runs in which one has this text already. */
const withText = (text: string) =>
  Effect.tap(Temporary.directory, (directory) =>
    Effect.sync(() => {
      const file = RunLog.fileOf("r", directory)
      Fs.mkdirSync(dirname(file))
      Fs.writeFileSync(file, text)
    })
  )

const emitted = (directory: string) =>
  Effect.gen(function* () {
    yield* Effect.scoped(Effect.flatMap(RunLog.open({ run: "r", directory }), (log) => log.emit(outcome)))
    const { lines } = yield* RunLog.readFrom("r", 0, directory)
    return { lines, events: Event.parseLines(lines).map(({ type }) => type) }
  })

describe("RunLog", () => {
  it.scoped("goes on after what a power cut has left of a line", () =>
    Effect.gen(function* () {
      const { lines, events } = yield* emitted(yield* withText('{"version":1,"run":"r","st'))
      assert.strictEqual(lines.length, 2)
      assert.deepStrictEqual(events, ["outcome"])
    })
  )

  it.scoped("goes on after a whole line", () =>
    Effect.gen(function* () {
      const directory = yield* withText("")
      yield* emitted(directory)
      const { lines, events } = yield* emitted(directory)
      assert.strictEqual(lines.length, 2)
      assert.deepStrictEqual(events, ["outcome", "outcome"])
    })
  )
})
