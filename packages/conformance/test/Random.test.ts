import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as ModelHost from "../src/ModelHost.ts"
import * as Generate from "../src/random/Generate.ts"
import * as Random from "../src/random/Run.ts"
import * as Seed from "../src/random/Seed.ts"

describe("the model and random operations", () => {
  it("answers each of them with a number, whatever it is, and leaves no descriptor behind", async () => {
    const seed = Seed.choose()
    const sequences = Generate.sequences(seed, 2000)
    const count = () => Fs.readdirSync("/proc/self/fd").length
    const before = count()
    const host = ModelHost.make()
    const results = await Random.run(host.start().calls, sequences)
    host.end()
    assert.strictEqual(count(), before, `LIVEUPDATE_SEED=${seed}`)
    assert.deepStrictEqual(
      results.map((one) => one.length),
      sequences.map((one) => one.length)
    )
  })

  it("is led by them to every answer that it has", async () => {
    const host = ModelHost.make()
    const results = await Random.run(host.start().calls, Generate.sequences(1, 2000))
    host.end()
    const seen = new Set(results.flat().map((one) => one.split(" ")[0]))
    for (const answer of ["ok", "EBUSY", "EEXIST", "EBADF", "ENOENT", "EINVAL", "EPERM", "E2BIG", "ENOTTY"])
      assert.isTrue(seen.has(answer), `${answer} was never the answer`)
  })

  it("is the same for the same seed", () => {
    assert.deepStrictEqual(Generate.sequences(7, 100), Generate.sequences(7, 100))
    assert.notDeepEqual(Generate.sequences(7, 100), Generate.sequences(8, 100))
  })
})
