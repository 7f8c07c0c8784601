import { assert, describe, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import * as Option from "effect/Option"
import { decode, encode, type FromHost, makeDecoder, ToHost } from "../src/ChannelProtocol.ts"

const bootId = "6c4b8fae-dc85-4fc6-838c-0942e09b450a"
const id = fc.stringMatching(/^[0-9a-f]{1,12}$/)
const line = fc.oneof(
  fc.constant(`H ${bootId}`),
  fc
    .tuple(fc.constantFrom("O", "E"), id, fc.uint8Array({ maxLength: 200 }))
    .map(([type, id, data]) => `${type} ${id} ${Buffer.from(data).toString("base64")}`),
  fc.tuple(id, fc.nat(255)).map(([id, code]) => `X ${id} exit ${code}`),
  fc.tuple(id, fc.nat(64)).map(([id, signal]) => `X ${id} signal ${signal}`),
  fc.tuple(id, fc.nat(133)).map(([id, errno]) => `F ${id} ${errno}`)
)
const all = (lines: ReadonlyArray<string>) => lines.map((text) => Option.getOrThrow(decode(text)))
const framed = (lines: ReadonlyArray<string>) => Buffer.from(lines.map((text) => `\n${text}\n`).join(""))

describe("ChannelProtocol", () => {
  it("puts messages together however they are cut up", () => {
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(300)), (lines, cuts) => {
        const bytes = framed(lines)
        const decoder = makeDecoder()
        const messages: Array<FromHost> = []
        let at = 0
        for (const cut of [...cuts, bytes.length]) {
          messages.push(...decoder.push(bytes.subarray(at, at + cut)))
          at += cut
        }
        assert.deepStrictEqual(messages, all(lines))
      })
    )
  })

  it("loses no whole message to a line torn by a kexec", () => {
    fc.assert(
      fc.property(fc.array(line), line, fc.array(line), fc.nat(), (before, torn, after, at) => {
        const cut = `\n${torn}`.slice(0, at % (torn.length + 1))
        const decoder = makeDecoder()
        const messages = decoder.push(Buffer.concat([framed(before), Buffer.from(cut), framed(after)]))
        // What is left of the torn line may itself look like a shorter message; nothing else is added or lost.
        assert.deepStrictEqual(messages.slice(0, before.length), all(before))
        assert.deepStrictEqual(messages.slice(messages.length - after.length), all(after))
        assert.isAtMost(messages.length, before.length + after.length + 1)
      })
    )
  })

  it("takes noise for nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (noise) => {
        const decoder = makeDecoder()
        decoder.push(noise)
        assert.deepStrictEqual(decoder.push(framed([`H ${bootId}`])).at(-1), { _tag: "Hello", bootId })
      })
    )
    for (const text of ["", "H", "H x", "O 1", "O 1 ***", "X 1 exit", "X 1 exit -1", "X 1 left 1", "F 1 x", "Z 1 2"])
      assert.isTrue(Option.isNone(decode(text)), text)
  })

  it("encodes one line per message with the command's words intact", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string().filter((text) => !text.includes("\0")),
          { minLength: 1 }
        ),
        (argv) => {
          const text = encode(ToHost.Run({ id: "a1", argv, env: { A: "b c" }, cwd: "/tmp" }))
          assert.match(text, /^\n[^\n]+\n$/)
          const [, , data] = text.trim().split(" ")
          const strings = Buffer.from(data ?? "", "base64")
            .toString()
            .split("\0")
          assert.deepStrictEqual(strings, [
            "/tmp",
            "A=b c",
            "",
            ...argv.map((word) => Buffer.from(word).toString()),
            ""
          ])
        }
      )
    )
  })
})
