import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as LineSplitter from "../../src/vmm/LineSplitter.ts"

/** Cuts bytes at the given places, in any order and number. */
const cut = (bytes: Uint8Array, places: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length))
}

const json = FastCheck.object({ withNullPrototype: false }).map((value) =>
  JSON.stringify({ value, text: "größer → 𝄞" })
)

describe("LineSplitter", () => {
  it.prop(
    "gives the lines, wherever the stream is cut",
    [FastCheck.array(json), FastCheck.array(FastCheck.nat()), FastCheck.constantFrom("\n", "\r\n")],
    ([lines, places, end]) => {
      const bytes = new TextEncoder().encode(lines.map((line) => line + end).join(""))
      const splitter = LineSplitter.make()
      const seen = cut(bytes, places).flatMap((chunk) => splitter.push(chunk))
      assert.deepStrictEqual(seen, lines)
      assert.strictEqual(splitter.pending(), 0)
    }
  )

  it("byte by byte, and an unfinished line is held back", () => {
    const splitter = LineSplitter.make()
    const bytes = new TextEncoder().encode('{"ä":1}\n\n{"b"')
    const seen = [...bytes].flatMap((byte) => splitter.push(Uint8Array.of(byte)))
    assert.deepStrictEqual(seen, ['{"ä":1}'])
    assert.strictEqual(splitter.pending(), 4)
  })

  it("joins a big line once", () => {
    const splitter = LineSplitter.make()
    const chunk = new Uint8Array(64 * 1024).fill(0x61)
    for (let index = 0; index < 256; index++) assert.isEmpty(splitter.push(chunk))
    assert.strictEqual(splitter.push(Uint8Array.of(0x0a))[0]?.length, 256 * 64 * 1024)
  })
})
