/**
 * The client against a monitor made of a few lines, for what a real one does too rarely to be waited for.
 */
import * as fs from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Qmp from "../../src/vmm/Qmp.ts"

const GREETING = `${JSON.stringify({ QMP: { version: { qemu: { major: 9, minor: 1, micro: 0 } }, capabilities: [] } })}\r\n`

interface Command {
  readonly execute: string
  readonly id: number
}

/** Greets, agrees to `qmp_capabilities`, and leaves the rest to `answer`. */
const monitor = (answer: (command: Command, socket: net.Socket) => void, greeting = GREETING) =>
  Effect.acquireRelease(
    Effect.async<{ readonly path: string; readonly server: net.Server }>((resume) => {
      const path = join(fs.mkdtempSync(join(tmpdir(), "qmp-")), "socket")
      const server = net.createServer((socket) => {
        socket.on("error", () => {})
        socket.write(greeting)
        socket.on("data", (chunk) => {
          for (const line of chunk.toString().trim().split("\n")) {
            const command = JSON.parse(line) as Command
            if (command.execute === "qmp_capabilities") socket.write(`{"return": {}, "id": ${command.id}}\n`)
            else answer(command, socket)
          }
        })
      })
      server.listen(path, () => resume(Effect.succeed({ path, server })))
    }),
    ({ path, server }) =>
      Effect.sync(() => {
        server.close()
        fs.rmSync(join(path, ".."), { recursive: true, force: true })
      })
  ).pipe(Effect.map(({ path }) => path))

describe("Qmp", () => {
  it.scopedLive("replies find their commands in any order; events before a reply are not lost", () =>
    Effect.gen(function* () {
      const held: Array<Command> = []
      const path = yield* monitor((command, socket) => {
        held.push(command)
        if (held.length < 3) return
        const replies = held.reverse().map(({ execute, id }) => JSON.stringify({ return: execute, id }))
        socket.write(`${JSON.stringify({ event: "STOP", timestamp: {} })}\n${replies.join("\n")}\n`)
      })
      const qmp = yield* Qmp.connect(path)
      assert.deepStrictEqual(qmp.version, { major: 9, minor: 1 })
      const next = yield* qmp.listen
      const names = ["a", "b", "c"]
      const replies = yield* Effect.all(
        names.map((name) => qmp.execute(name)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(replies, names)
      assert.deepStrictEqual(yield* next, { event: "STOP", data: {} })
    })
  )

  it.scopedLive("a refusal keeps QEMU's class and words", () =>
    Effect.gen(function* () {
      const path = yield* monitor(({ id }, socket) =>
        socket.write(`${JSON.stringify({ id, error: { class: "GenericError", desc: "no such device" } })}\n`)
      )
      const qmp = yield* Qmp.connect(path)
      const error = yield* Effect.flip(qmp.execute("device_del"))
      assert(error._tag === "QmpCommandFailed")
      assert.strictEqual(error.errorClass, "GenericError")
      assert.strictEqual(error.message, "the VMM refused device_del: no such device")
    })
  )

  it.scopedLive("the end of the connection reaches commands, listeners and whoever comes later", () =>
    Effect.gen(function* () {
      const path = yield* monitor((_, socket) => {
        socket.end(`${JSON.stringify({ event: "SHUTDOWN", data: { guest: true } })}\n`)
      })
      const qmp = yield* Qmp.connect(path)
      const next = yield* qmp.listen
      const during = yield* Effect.flip(qmp.execute("quit"))
      assert(during._tag === "QmpClosed")
      assert.strictEqual(during.operation, "quit")
      yield* qmp.closed
      assert.deepStrictEqual(yield* next, { event: "SHUTDOWN", data: { guest: true } })
      assert.strictEqual((yield* Effect.flip(next))._tag, "QmpClosed")
      assert.strictEqual((yield* Effect.flip(next))._tag, "QmpClosed")
      assert.strictEqual((yield* Effect.flip(yield* qmp.listen))._tag, "QmpClosed")
      assert.strictEqual((yield* Effect.flip(qmp.execute("cont")))._tag, "QmpClosed")
    })
  )

  it.scopedLive("a command without an answer ends at its deadline, and its late answer harms nobody", () =>
    Effect.gen(function* () {
      const late: Array<Command> = []
      const path = yield* monitor((command, socket) => {
        if (command.execute === "slow") late.push(command)
        else socket.write([...late, command].map(({ id }) => `{"return": ${id}, "id": ${id}}\n`).join(""))
      })
      const qmp = yield* Qmp.connect(path)
      const error = yield* Effect.flip(qmp.execute("slow", {}, "20 millis"))
      assert(error._tag === "QmpTimeout")
      assert.strictEqual(error.deadlineMs, 20)
      assert.strictEqual(yield* qmp.execute("fast"), 3)
    })
  )

  it.scopedLive("what is not QMP is refused", () =>
    Effect.gen(function* () {
      for (const greeting of ["HTTP/1.1 400 Bad Request\r\n", '["QMP"]\n', '{"QMP": {}}\n', '{"hello": 1}\n']) {
        const error = yield* Effect.flip(Qmp.connect(yield* monitor(() => {}, greeting)))
        assert.strictEqual(error._tag, "QmpProtocolError", greeting)
      }
    })
  )

  it.scopedLive("nobody there is told apart", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Qmp.connect("/nowhere/qmp.sock"))
      assert(error._tag === "QmpConnectFailed")
      assert.strictEqual(error.code, "ENOENT")
    })
  )
})
