import * as Fs from "node:fs"
import { constants } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Client from "../src/internal/keeper/client.ts"
import { underLock } from "../src/internal/keeper/place.ts"
import * as Server from "../src/internal/keeper/server.ts"
import * as wire from "../src/internal/keeper/wire.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as UnixSocket from "../src/internal/unixSocket.ts"
import { connect, memfdWith, temporaryDirectory } from "./KeeperPlace.ts"

const { errno } = constants

/** The keeper's server in this process, whose time and user can be chosen. */
const server = (options: { readonly user?: number; readonly now?: () => number } = {}) =>
  Effect.gen(function* () {
    const directory = yield* Effect.tap(temporaryDirectory, (path) =>
      Effect.sync(() => Fs.mkdirSync(path, { mode: 0o700 }))
    )
    const listener = yield* Effect.acquireRelease(
      Effect.sync(() => UnixSocket.listen(join(directory, "socket"), 16)),
      (fd) => Effect.sync(() => systemCalls.close(fd))
    )
    return {
      directory,
      server: Server.make({ listener, directory, lingerMs: 1000, user: process.geteuid?.() ?? 0, ...options })
    }
  })

describe("the keeper's server", () => {
  it.scopedLive("talks to its own user only", () =>
    Effect.gen(function* () {
      const stranger = yield* server({ user: (process.geteuid?.() ?? 0) + 1 })
      const fd = yield* connect(stranger.directory)
      UnixSocket.send(fd, wire.encodeRequest({ kind: "list", after: "" }))
      stranger.server.turn(0)
      stranger.server.turn(0)
      // Turned away unheard: the request was never read, so the end is a reset.
      assert.strictEqual(UnixSocket.receive(fd, 4096), -errno.ECONNRESET)
      const own = yield* server()
      const heard = yield* connect(own.directory)
      UnixSocket.send(heard, wire.encodeRequest({ kind: "list", after: "" }))
      own.server.turn(0)
      own.server.turn(0)
      const answer = UnixSocket.receive(heard, 4096)
      assert.isTrue(typeof answer !== "number" && wire.decodeAnswer(answer.bytes)._tag === "whole")
    })
  )

  it.scopedLive("doesn't wait for ever for the rest of a message, nor for one that never comes", () =>
    Effect.gen(function* () {
      let now = 0
      const { directory, server: keeper } = yield* server({ now: () => now })
      const silent = yield* connect(directory)
      const half = yield* connect(directory)
      UnixSocket.send(half, wire.encodeRequest({ kind: "claim", session: "vm-1" }).subarray(0, 9))
      for (let turn = 0; turn < 4; turn++) keeper.turn(0)
      for (const fd of [silent, half]) assert.strictEqual(UnixSocket.receive(fd, 4096), -errno.EAGAIN)
      now = 6000
      keeper.turn(0)
      for (const fd of [silent, half]) assert.isEmpty(endOf(fd))
    })
  )

  it.scopedLive("isn't asked in the moment in which it goes: whoever wants to waits for it, and finds nobody", () =>
    Effect.gen(function* () {
      const { directory } = yield* server()
      const asked = yield* Effect.acquireRelease(
        Effect.sync(() => Client.find(directory) ?? assert.fail("a keeper is there")),
        (fd) => Effect.sync(() => systemCalls.close(fd))
      )
      assert.isAtLeast(asked, 0)
      // As it goes: it has looked whether somebody comes, and nobody came. A connection would be reset now, and who asks think that it holds something.
      underLock(directory, () => {
        assert.strictEqual(Client.find(directory), -errno.EAGAIN)
        Fs.rmSync(join(directory, "socket"))
      })
      assert.isUndefined(Client.find(directory))
    })
  )

  it.scopedLive("stays when somebody has connected by the time it wants to go", () =>
    Effect.gen(function* () {
      let now = 0
      const { directory, server: keeper } = yield* server({ now: () => now })
      assert.isTrue(keeper.turn(0))
      const fd = yield* connect(directory)
      const memfd = yield* memfdWith("in time")
      UnixSocket.send(fd, wire.encodeRequest({ kind: "hold", session: "vm-1" }), memfd.fd)
      now = 1500
      for (let turn = 0; turn < 4; turn++) assert.isTrue(keeper.turn(0))
      assert.deepStrictEqual([...keeper.held.keys()], ["vm-1"])
      for (const file of keeper.held.values()) systemCalls.close(file)
    })
  )

  it.scopedLive("stays while a client has the lock, and goes when nobody has", () =>
    Effect.gen(function* () {
      let now = 0
      const { directory, server: keeper } = yield* server({ now: () => now })
      const lock = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.openSync(join(directory, "lock"), "a")),
        (fd) => Effect.sync(() => Fs.closeSync(fd))
      )
      assert.strictEqual(systemCalls.flock(lock, 2), 0)
      now = 1500
      assert.isTrue(keeper.turn(0))
      assert.isTrue(Fs.existsSync(join(directory, "socket")))
      systemCalls.flock(lock, 8)
      now = 3000
      assert.isFalse(keeper.turn(0))
      assert.isFalse(Fs.existsSync(join(directory, "socket")))
    })
  )
})

const endOf = (fd: number): Buffer => {
  const received = UnixSocket.receive(fd, 4096)
  return typeof received === "number" ? Buffer.from(`errno ${received}`) : received.bytes
}
