import { assert, describe, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import * as wire from "../src/internal/keeper/wire.ts"

const name = fc
  .string({ minLength: 1, maxLength: 30, unit: "grapheme" })
  .filter((text) => Buffer.byteLength(text, "utf8") <= 63 && !text.includes("\0"))

const request: fc.Arbitrary<wire.Request> = fc.oneof(
  fc.record({ kind: fc.constantFrom<"hold" | "claim" | "release">("hold", "claim", "release"), session: name }),
  fc.record({ kind: fc.constant<"list">("list"), after: fc.oneof(name, fc.constant("")) })
)

const answer: fc.Arbitrary<wire.Answer> = fc.oneof(
  fc.constantFrom<wire.Answer>({ kind: "done" }, { kind: "unknown" }),
  fc.record({ kind: fc.constant<"refused">("refused"), reason: fc.string({ maxLength: 200 }) }),
  fc.record({
    kind: fc.constant<"listed">("listed"),
    pid: fc.nat(4194304),
    more: fc.boolean(),
    sessions: fc.array(name, { maxLength: 40 })
  })
)

describe("what is said to a keeper", () => {
  it("comes out as it went in", () => {
    fc.assert(
      fc.property(request, answer, (asked, answered) => {
        assert.deepStrictEqual(wire.decodeRequest(wire.encodeRequest(asked)), { _tag: "whole", message: asked })
        assert.deepStrictEqual(wire.decodeAnswer(wire.encodeAnswer(answered)), { _tag: "whole", message: answered })
      })
    )
  })

  it("is a part of a message until its last byte has come, and no message with one byte more", () => {
    fc.assert(
      fc.property(request, (asked) => {
        const bytes = wire.encodeRequest(asked)
        for (let length = 0; length < bytes.length; length++)
          assert.strictEqual(wire.decodeRequest(bytes.subarray(0, length))._tag, "partial")
        assert.strictEqual(wire.decodeRequest(Buffer.concat([bytes, Buffer.from("x")]))._tag, "malformed")
      })
    )
  })

  it("is u32 length, u16 version, u16 kind, and the session's name", () => {
    assert.strictEqual(
      wire.encodeRequest({ kind: "hold", session: "vm-1" }).toString("hex"),
      `0c000000${"0100"}${"0100"}${Buffer.from("vm-1").toString("hex")}`
    )
  })

  it("is never taken for more than it is, whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        for (const decode of [wire.decodeRequest, wire.decodeAnswer])
          assert.include(["whole", "partial", "malformed"], decode(Buffer.from(bytes))._tag)
      })
    )
    const version = Buffer.from(wire.encodeRequest({ kind: "claim", session: "vm-1" }))
    version.writeUInt16LE(2, 4)
    assert.deepInclude(wire.decodeRequest(version), { _tag: "malformed" })
    const huge = Buffer.from(wire.encodeRequest({ kind: "claim", session: "vm-1" }))
    huge.writeUInt32LE(0xffff_ffff, 0)
    assert.deepInclude(wire.decodeRequest(huge), { _tag: "malformed" })
    for (const session of ["a".repeat(64), "a\0b"])
      assert.deepInclude(wire.decodeRequest(wire.encodeRequest({ kind: "hold", session })), { _tag: "malformed" })
    const notUtf8 = Buffer.concat([
      wire.encodeRequest({ kind: "hold", session: "ab" }).subarray(0, 8),
      Buffer.from([0xff, 0xfe])
    ])
    assert.deepInclude(wire.decodeRequest(notUtf8), { _tag: "malformed" })
  })

  it("lists as many names as one message has room for", () => {
    const sessions = Array.from({ length: 200 }, (_, index) => `${"n".repeat(59)}${String(index).padStart(4, "0")}`)
    const listed = wire.page(1, sessions)
    assert.isTrue(listed.kind === "listed" && listed.more)
    assert.isAtMost(wire.encodeAnswer(listed).length, wire.MAX_LENGTH)
    assert.isAtLeast(wire.encodeAnswer(listed).length, wire.MAX_LENGTH - 64)
    assert.deepInclude(wire.page(1, sessions.slice(0, 3)), { more: false, sessions: sessions.slice(0, 3) })
  })
})
