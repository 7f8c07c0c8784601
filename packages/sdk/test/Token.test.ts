import { assert, describe, it } from "@effect/vitest"
import * as Token from "../src/Token.ts"

describe("Token", () => {
  it("is a u64", () => {
    assert.strictEqual(Token.make(2n ** 64n - 1n), 18446744073709551615n)
    assert.throws(() => Token.make(2n ** 64n))
    assert.throws(() => Token.make(-1n))
  })

  it("comes from the digits that it is written as, and from nothing else", () => {
    assert.strictEqual(Token.parse("18446744073709551615"), 2n ** 64n - 1n)
    assert.strictEqual(Token.parse("9007199254740993"), 2n ** 53n + 1n)
    for (const text of [
      "18446744073709551616",
      "99999999999999999999",
      "",
      "01",
      "-1",
      "1.0",
      "1e3",
      "0x1",
      " 1",
      "١",
      1,
      null
    ])
      assert.isUndefined(Token.parse(text))
  })

  it("has a name in a set", () => {
    const tokens = Token.names({ ram: 1n, "vfio/0000:3b:00.0": 2n })
    assert.strictEqual(tokens.ram, Token.make(1n))
    assert.strictEqual(Token.format(tokens.ram, "ram"), '"ram" (token 1)')
    assert.strictEqual(Token.format(tokens.ram), "token 1")
    // @ts-expect-error the set has no such name
    assert.isUndefined(tokens.rom)
  })

  it("has a set refused that can't name files", () => {
    assert.throws(() => Token.names({ ram: 0n }), "taken")
    assert.throws(() => Token.names({ ram: 1n, state: 1n }), "taken")
    assert.throws(() => Token.names({ ram: 2n ** 64n }))
    for (const name of ["", "manifest", "__proto__", " ram", "ra\nm", "r".repeat(65)])
      assert.throws(() => Token.names({ [name]: 1n }), "can't name")
  })
})
