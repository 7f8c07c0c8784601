import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as ModelHost from "../src/ModelHost.ts"
import * as Generate from "../src/random/Generate.ts"
import * as Random from "../src/random/Run.ts"
import * as Seed from "../src/random/Seed.ts"

describe("the model and random operations", () => {
  it.each(["7.3", "handlers"] as const)(
    "answers each of them with a number, whatever it is, and leaves no descriptor behind: %s",
    async (profile) => {
      const seed = Seed.choose()
      const sequences = Generate.sequences(seed, 2000, profile)
      const count = () => Fs.readdirSync("/proc/self/fd").length
      const before = count()
      const host = ModelHost.make(profile)
      const results = await Random.run(host.start().calls, sequences)
      host.end()
      assert.strictEqual(count(), before, `LIVEUPDATE_SEED=${seed}`)
      assert.deepStrictEqual(
        results.map((one) => one.length),
        sequences.map((one) => one.length)
      )
    }
  )

  it("is led by them to every answer that it has", async () => {
    const host = ModelHost.make()
    const results = await Random.run(host.start().calls, Generate.sequences(1, 2000))
    host.end()
    const seen = new Set(results.flat().map((one) => one.split(" ")[0]))
    for (const answer of ["ok", "EBUSY", "EEXIST", "EBADF", "ENOENT", "EINVAL", "EPERM", "E2BIG", "ENOTTY"])
      assert.isTrue(seen.has(answer), `${answer} was never the answer`)
  })

  it("is led by them through what a VMM does with its devices", async () => {
    const host = ModelHost.make("handlers")
    const sequences = Generate.sequences(1, 6000, "handlers")
    const results = await Random.run(host.start().calls, sequences)
    host.end()
    const answers = new Map<string, Set<string | undefined>>()
    for (const [index, sequence] of sequences.entries())
      for (const [place, { do: what }] of sequence.entries())
        answers.set(what, (answers.get(what) ?? new Set()).add(results[index]?.[place]))
    for (const what of ["map", "unmap", "destroy", "attach", "detach"])
      assert.includeMembers([...(answers.get(what) ?? [])], ["ok", "EBUSY"], what)
    assert.includeMembers([...(answers.get("bind") ?? [])], ["ok", "EINVAL", "EBADFD"])
  })

  it("is the same for the same seed", () => {
    assert.deepStrictEqual(Generate.sequences(7, 100), Generate.sequences(7, 100))
    assert.notDeepEqual(Generate.sequences(7, 100), Generate.sequences(8, 100))
  })
})
