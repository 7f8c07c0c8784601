import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Manifest from "../src/Manifest.ts"
import * as Memfd from "../src/Memfd.ts"

const Payload = Schema.Struct({ vm: Schema.String, ram: Schema.Number })
const value = { vm: "vm-42", ram: 201326592 }
const encoded = Either.getOrThrow(Manifest.encode(Payload, value))

describe("Manifest", () => {
  it("has the layout that its documentation gives", () => {
    assert.strictEqual(encoded.toString("latin1", 0, 8), "LIVEUPD\0")
    assert.strictEqual(encoded.readUInt32LE(8), 1)
    assert.strictEqual(encoded.readBigUInt64LE(16), BigInt(encoded.length - 32))
    assert.deepStrictEqual(JSON.parse(encoded.toString("utf8", 32)), value)
  })

  it("comes back as it went", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string(), FastCheck.integer(), (vm, ram) => {
        const bytes = Either.getOrThrow(Manifest.encode(Payload, { vm, ram }))
        assert.deepStrictEqual(Either.getOrThrow(Manifest.decode(Payload, bytes)), { vm, ram })
      })
    )
  })

  it("refuses every change of a single byte", () => {
    for (let offset = 0; offset < encoded.length; offset++) {
      const damaged = Buffer.from(encoded)
      damaged.writeUInt8(damaged.readUInt8(offset) ^ 0x40, offset)
      assert.isTrue(Either.isLeft(Manifest.decode(Payload, damaged)), `byte ${offset}`)
    }
  })

  it("refuses every truncation and anything appended", () => {
    for (let length = 0; length < encoded.length; length++)
      assert.isTrue(Either.isLeft(Manifest.decode(Payload, encoded.subarray(0, length))), `length ${length}`)
    assert.isTrue(Either.isLeft(Manifest.decode(Payload, Buffer.concat([encoded, Buffer.from([0])]))))
  })

  it("never throws on arbitrary bytes", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.isTrue(Either.isLeft(Manifest.decode(Payload, Buffer.from(bytes))))
      })
    )
  })

  it("says what is wrong with a payload of another shape", () => {
    const other = Either.getOrThrow(Manifest.encode(Schema.Struct({ name: Schema.String }), { name: "x" }))
    const result = Manifest.decode(Payload, other)
    assert.isTrue(Either.isLeft(result) && result.left.reason === "payload" && result.left.detail.includes("vm"))
  })

  it("refuses a payload over the limit", () => {
    const result = Manifest.encode(Schema.String, "x".repeat(Manifest.MAX_BYTES))
    assert.isTrue(Either.isLeft(result) && result.left.reason === "too-large")
  })

  it.scoped("travels in a memfd that nobody can change any more", () =>
    Effect.gen(function* () {
      const memfd = yield* Manifest.write(Payload, value)
      assert.deepStrictEqual(yield* Manifest.read(Payload, memfd), value)
      assert.deepStrictEqual(yield* Memfd.getSeals(memfd), ["seal", "shrink", "grow", "write"])
      const error = yield* Effect.flip(Memfd.write(memfd, 0, Buffer.from("x")))
      assert.strictEqual(error._tag, "MemoryFrozen")
    })
  )
})
