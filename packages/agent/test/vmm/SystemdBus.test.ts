import { createServer } from "node:net"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SystemdBus from "../../src/vmm/SystemdBus.ts"
import * as Temporary from "../Temporary.ts"

/** A reply with no fields of its own; an error has a text as its body. */
const reply = (type: number, text = "") => {
  const body = Buffer.from(text === "" ? "" : `\0\0\0\0${text}\0`)
  if (text !== "") body.writeUInt32LE(Buffer.byteLength(text))
  const header = Buffer.alloc(16)
  header.set([0x6c, type, 0, 1])
  header.writeUInt32LE(body.length, 4)
  return Buffer.concat([Buffer.from("OK 0123\r\n"), header, body])
}

/** Answers in pieces of two bytes, when the whole call has come. */
const fakeSystemd = (call: Buffer, answer: Buffer) =>
  Effect.gen(function* () {
    const path = join(yield* Temporary.directory, "private")
    const heard: Array<string> = []
    const server = createServer((connection) => {
      let received = Buffer.alloc(0)
      connection.on("data", (data) => {
        received = Buffer.concat([received, data])
        if (!received.subarray(-call.length).equals(call)) return
        heard.push(received.toString("latin1", 0, received.length - call.length))
        for (let at = 0; at < answer.length; at += 2) connection.write(answer.subarray(at, at + 2))
      })
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void server.listen(path, () => resume(Effect.void))),
      () => Effect.sync(() => server.close())
    )
    return { path, heard }
  })

const properties: ReadonlyArray<SystemdBus.Property> = [
  ["Slice", "s", "a.slice"],
  ["DefaultDependencies", "b", false],
  ["PIDs", "au", [1, 258]]
]

describe("SystemdBus", () => {
  it("the call, byte by byte where it counts: lengths, alignment, values", () => {
    const message = SystemdBus.startTransientUnit("x.scope", properties)
    const bodyLength = message.readUInt32LE(4)
    const fields = message.readUInt32LE(12)
    const body = message.subarray(16 + Math.ceil(fields / 8) * 8)
    assert.strictEqual(body.length, bodyLength)
    assert.strictEqual(body.toString("latin1", 0, 21), "\x07\0\0\0x.scope\0\x04\0\0\0fail\0")
    // The array of properties: its length, and its elements at multiples of 8.
    const length = body.readUInt32LE(24)
    assert.strictEqual(body.toString("latin1", 32, 42), "\x05\0\0\0Slice\0")
    assert.strictEqual(body.toString("latin1", 42, 45), "\x01s\0")
    const elements = body.subarray(32, 32 + length)
    const pids = elements.subarray(elements.indexOf("PIDs\0"))
    assert.strictEqual(pids.toString("latin1", 5, 9), "\x02au\0")
    assert.deepStrictEqual(
      [...elements.subarray(-12)].join(),
      [8, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0].join(),
      "an array of two numbers"
    )
    // And no auxiliary units.
    assert.strictEqual(body.readUInt32LE(body.length - 4), 0)
  })

  it.scopedLive("says who it is, and is done when systemd has taken it", () =>
    Effect.gen(function* () {
      const call = SystemdBus.startTransientUnit("x.scope", properties)
      const { path, heard } = yield* fakeSystemd(call, reply(2))
      yield* SystemdBus.start("x.scope", properties, path)
      const uid = Buffer.from(String(process.getuid?.())).toString("hex")
      assert.deepStrictEqual(heard, [`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`])
    })
  )

  it.scopedLive("says what systemd says, and that nobody is there", () =>
    Effect.gen(function* () {
      const call = SystemdBus.startTransientUnit("x.scope", properties)
      const { path } = yield* fakeSystemd(call, reply(3, "Unit x.scope was already loaded."))
      const error = yield* Effect.flip(SystemdBus.start("x.scope", properties, path))
      assert.strictEqual(error.message, "systemd refuses to start x.scope: Unit x.scope was already loaded.")
      const nobody = yield* Effect.flip(SystemdBus.start("x.scope", properties, "/nowhere/private"))
      assert.include(nobody.message, "ENOENT")
    })
  )
})
