import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "effect/FastCheck"
import * as Journal from "../../src/upgrade/Journal.ts"
import * as Temporary from "../Temporary.ts"

const first = { run: "20261127T120000Z-1", boot: "b", vms: ["a", "b"], kernel: "/boot/vmlinuz", hooks: {} }

const place = Effect.map(Temporary.directory, (directory) => join(directory, "state", "journal"))

const pause = { phase: "pause", vm: "a" }

/** The file of a run that was interrupted after two intents, and its text. */
const interrupted = Effect.gen(function* () {
  const file = yield* place
  yield* Effect.scoped(
    Effect.gen(function* () {
      const journal = yield* Journal.begin(first, file)
      yield* journal.note({ kind: "intent", phase: "load-kernel" })
      yield* journal.note({ kind: "receipt", phase: "load-kernel" })
      yield* journal.note({ kind: "intent", ...pause })
    })
  )
  const bytes = Fs.readFileSync(file)
  return { file, bytes, length: bytes.indexOf(0) }
})

describe("Journal", () => {
  it.scoped("what was begun and not undone is what is left to undo", () =>
    Effect.gen(function* () {
      const { file } = yield* interrupted
      assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)
      const reading = yield* Journal.read(file)
      assert.strictEqual(reading._tag, "unfinished")
      if (reading._tag !== "unfinished") return
      assert.deepInclude(reading.begin, first)
      assert.deepStrictEqual(reading.intents, [
        { kind: "intent", phase: "load-kernel" },
        { kind: "intent", ...pause }
      ])
      yield* Effect.scoped(
        Effect.flatMap(Journal.reopen(file), (journal) => journal.note({ kind: "undone", ...pause }))
      )
      const later = yield* Journal.read(file)
      assert.deepStrictEqual(later._tag === "unfinished" ? later.intents : [], [
        { kind: "intent", phase: "load-kernel" }
      ])
      yield* Effect.scoped(Effect.flatMap(Journal.reopen(file), (journal) => journal.end("rolled-back")))
      assert.strictEqual((yield* Journal.read(file))._tag, "ended")
    })
  )

  it.scoped("the file doesn't grow while a run goes on: a disk that fills up stops nobody", () =>
    Effect.gen(function* () {
      const file = yield* place
      yield* Effect.scoped(
        Effect.gen(function* () {
          const journal = yield* Journal.begin(first, file)
          const { size } = Fs.statSync(file)
          yield* Effect.forEach(
            Array.from({ length: 100 }, (_, index) => index),
            (index) => journal.note({ kind: "intent", phase: "pause", vm: `vm-${index}` }),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(Fs.statSync(file).size, size)
        })
      )
      const reading = yield* Journal.read(file)
      assert.strictEqual(reading._tag === "unfinished" ? reading.intents.length : 0, 100)
    })
  )

  it.scoped("no byte can be changed, and no record cut off or added, unnoticed", () =>
    Effect.gen(function* () {
      const { bytes, length } = yield* interrupted
      fc.assert(
        fc.property(fc.nat(length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
          const changed = Buffer.from(bytes)
          changed[at] = (changed[at] ?? 0) ^ change
          assert.strictEqual(Journal.parse(changed)._tag, "corrupt", `byte ${at}`)
        }),
        { numRuns: 500 }
      )
      fc.assert(
        fc.property(fc.nat(length - 1), (at) => {
          const torn = Buffer.from(bytes)
          torn.fill(0, at)
          const reading = Journal.parse(torn)
          // Between two records nothing is torn: the later one was never written.
          if (at > 0 && torn[at - 1] === 0x0a) assert.strictEqual(reading._tag, "unfinished")
          else assert.strictEqual(reading._tag, "corrupt")
        })
      )
    })
  )

  it.scoped("the boot is told of a damaged journal, if its first record is whole", () =>
    Effect.gen(function* () {
      const { bytes, length } = yield* interrupted
      const damaged = Buffer.from(bytes)
      damaged[length - 3] = 0x21
      assert.deepInclude(Journal.parse(damaged), { _tag: "corrupt", boot: "b" })
      damaged[12] = 0x21
      assert.deepInclude(Journal.parse(damaged), { _tag: "corrupt", boot: undefined })
    })
  )

  it.scoped("a damaged one is kept, each under a name of its own", () =>
    Effect.gen(function* () {
      const file = yield* place
      yield* Effect.scoped(Journal.begin(first, file))
      const one = yield* Journal.setAside(file)
      yield* Effect.scoped(Journal.begin(first, file))
      const two = yield* Journal.setAside(file)
      assert.notStrictEqual(one, two)
      assert.isTrue([one, two].every((path) => Fs.existsSync(path)))
      assert.strictEqual((yield* Journal.read(file))._tag, "none")
    })
  )

  it.scoped("one that can't be written says so, and the one before stays", () =>
    Effect.gen(function* () {
      const file = yield* place
      yield* Effect.scoped(Journal.begin(first, file))
      // No directory, but a file.
      const error = yield* Effect.flip(Effect.scoped(Journal.begin(first, `${file}/journal`)))
      assert.include(error.message, `${file}/journal can't be written (`)
      assert.strictEqual((yield* Journal.read(file))._tag, "unfinished")
    })
  )
})
