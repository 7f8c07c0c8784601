import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { struct } from "../src/internal/struct.ts"

const sample = struct("sample", { size: "length", fd: "s32", name: 5, token: "u64", last: "u32" })

describe("struct", () => {
  it("puts each field where a C compiler does, and pads the end", () => {
    const places = (["size", "fd", "name", "token", "last"] as const).map(sample.offsetOf)
    assert.deepStrictEqual(places, [0, 4, 8, 16, 24])
    assert.strictEqual(sample.bytes, 32)
  })

  it("says how long it is, and leaves 0 where nothing is given", () => {
    assert.strictEqual(sample.encode({}).toString("hex"), `20${"00".repeat(31)}`)
    assert.strictEqual(
      sample.encode({ fd: -2, name: "abc", token: 0xfedc_ba98_7654_3210n }).toString("hex"),
      "20000000feffffff61626300000000001032547698badcfe0000000000000000"
    )
  })

  it("changes fields of a struct that is there, and no others", () => {
    const bytes = sample.encode({ fd: 3, name: "abc", token: 1n, last: 5 })
    sample.update(bytes, { token: 2n, last: 0 })
    assert.deepStrictEqual(sample.decode(bytes), { size: 32, fd: 3, name: "abc", token: 2n, last: 0 })
  })

  it("reads what it wrote", () => {
    const values = FastCheck.record({
      fd: FastCheck.integer(),
      name: FastCheck.string({ unit: "grapheme-ascii", maxLength: 5 }),
      token: FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      last: FastCheck.nat()
    })
    FastCheck.assert(
      FastCheck.property(values, (given) => {
        assert.deepStrictEqual(sample.decode(sample.encode(given)), { size: 32, ...given })
      })
    )
  })
})
