import * as Fs from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Accounts from "../../src/metrics/Accounts.ts"
import * as Textfile from "../../src/metrics/Textfile.ts"
import { PreconditionFailed } from "../../src/upgrade/UpgradeError.ts"
import * as Temporary from "../Temporary.ts"
import { succeeded, undone, withBoth, write } from "./hosts.ts"

const remove = (runs: string, run: string) =>
  Effect.sync(() => Fs.rmSync(join(runs, run), { recursive: true, force: true }))

const refusal = new PreconditionFailed({ what: "no kernel", next: "build one" })

describe("counters of a host", () => {
  it.scoped("a run that is removed counts on, once it was kept; one that is put back counts once", () =>
    Effect.gen(function* () {
      const runs = yield* withBoth
      const { total } = yield* Accounts.keep(runs)
      yield* remove(runs, succeeded.run)
      assert.deepStrictEqual((yield* Accounts.read(runs)).total, total)
      yield* Accounts.keep(runs)
      yield* remove(runs, undone.run)
      yield* Accounts.keep(runs)
      assert.deepEqual((yield* Accounts.keep(runs)).total, total)
      yield* write(runs, succeeded.run, succeeded.log)
      assert.deepEqual((yield* Accounts.keep(runs)).total, total)
    })
  )

  it.scoped("who only reads writes nothing, and counts what is new", () =>
    Effect.gen(function* () {
      const runs = yield* withBoth
      const before = yield* Accounts.read(runs)
      assert.isFalse(Fs.existsSync(Accounts.fileOf(runs)))
      yield* Accounts.keep(runs)
      assert.strictEqual(Fs.statSync(Accounts.fileOf(runs)).mode & 0o777, 0o600)
      yield* write(runs, "20261129T080000Z-1", undone.log)
      const { total } = yield* Accounts.read(runs)
      const rolledBack = (of: Accounts.Accounts["total"]) =>
        of.counters["liveupdate_runs_total"]?.['result="rolled_back"']
      assert.deepStrictEqual([rolledBack(before.total), rolledBack(total)], [1, 2])
    })
  )

  it.scoped("what was refused has no log, and is counted all the same", () =>
    Effect.gen(function* () {
      const runs = join(yield* Temporary.directory, "runs")
      yield* Effect.all([Accounts.refused(refusal, runs), Accounts.refused(refusal, runs)], { concurrency: 2 })
      const { counters } = (yield* Accounts.keep(runs)).total
      assert.deepStrictEqual(counters["liveupdate_runs_total"], { 'result="refused"': 2 })
      assert.deepStrictEqual(counters["liveupdate_errors_total"], {
        'step="preflight",error="PreconditionFailed",operation="",errno=""': 2
      })
    })
  )

  it.scoped("counters that can't be read are not begun anew by themselves", () =>
    Effect.gen(function* () {
      const runs = yield* withBoth
      const path = Accounts.fileOf(runs)
      Fs.writeFileSync(path, '{"version":1,')
      for (const accounts of [Accounts.read(runs), Accounts.keep(runs), Accounts.refused(refusal, runs)]) {
        const error = yield* Effect.flip(Effect.asVoid(accounts as Effect.Effect<unknown, Error>))
        assert.include(error.message, `mv ${path} ${path}.damaged`)
      }
      assert.strictEqual(Fs.readFileSync(path, "utf8"), '{"version":1,')
    })
  )
})

describe("a textfile", () => {
  it.scoped("is replaced whole, for everybody to read, with nothing beside it", () =>
    Effect.gen(function* () {
      const directory = yield* Temporary.directory
      const path = join(directory, "liveupdate.prom")
      yield* Textfile.replace(path, "old\n")
      const { ino } = Fs.statSync(path)
      yield* Textfile.replace(path, "new\n")
      assert.strictEqual(Fs.readFileSync(path, "utf8"), "new\n")
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o644)
      assert.notStrictEqual(Fs.statSync(path).ino, ino)
      assert.deepStrictEqual(Fs.readdirSync(directory), ["liveupdate.prom"])
    })
  )

  it.scoped("where it can't be written, it is said where and what to do", () =>
    Effect.gen(function* () {
      const path = join(yield* Temporary.directory, "missing", "liveupdate.prom")
      const error = yield* Effect.flip(Textfile.replace(path, ""))
      assert.strictEqual(error.message, `${path} can't be written: ENOENT. Make its directory first`)
      assert.isFalse(Fs.existsSync(dirname(path)))
    })
  )
})
