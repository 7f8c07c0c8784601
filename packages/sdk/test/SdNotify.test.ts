import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as UnixSocket from "../src/internal/unixSocket.ts"
import * as Memfd from "../src/Memfd.ts"
import * as SdJournal from "../src/SdJournal.ts"
import * as SdNotify from "../src/SdNotify.ts"
import { listening } from "./Datagrams.ts"

describe("SdNotify", { timeout: 60_000 }, () => {
  for (const abstract of [false, true])
    it.scopedLive(`tells systemd what a service has to say, at ${abstract ? "an abstract name" : "a path"}`, () =>
      Effect.gen(function* () {
        const { path, next } = yield* listening({ abstract })
        const notifier = yield* SdNotify.open(path)
        yield* notifier.send({ READY: 1, STATUS: "two\nlines" })
        assert.strictEqual((yield* next).text, "READY=1\nSTATUS=two lines")
      })
    )

  it.scopedLive("sends a descriptor along, and speaks for another process", () =>
    Effect.gen(function* () {
      const { path, next } = yield* listening({})
      const notifier = yield* SdNotify.open(path)
      const memfd = yield* Memfd.create({ name: "kept", size: 4096 })
      // The kernel lets only root speak for others; for itself anybody may.
      yield* notifier.send({ FDSTORE: 1 }, { file: memfd.fd, pid: process.pid })
      const { text, files } = yield* next
      assert.strictEqual(text, "FDSTORE=1")
      assert.strictEqual(Fs.fstatSync(files[0] ?? -1).ino, Fs.fstatSync(memfd.fd).ino)
    })
  )

  it.scopedLive("nobody listens: says where, and why", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(SdNotify.open("/nowhere/notify"))
      assert.strictEqual(error._tag, "NotifyFailed")
      assert.match(error.message, /\/nowhere\/notify: ENOENT/)
    })
  )

  it("reads what systemd has put into the environment", () => {
    const service = SdNotify.service({ NOTIFY_SOCKET: "@name", WATCHDOG_USEC: "30000000" })
    assert.strictEqual(service.socket, "@name")
    assert.strictEqual(Duration.toSeconds(service.watchdog ?? Duration.zero), 30)
    assert.deepStrictEqual(SdNotify.service({ NOTIFY_SOCKET: "" }), { socket: undefined, watchdog: undefined })
  })

  it.scoped("says that it is alive twice in the time that it has, and only where somebody listens for it", () =>
    Effect.gen(function* () {
      const said: Array<SdNotify.Fields> = []
      const notifier: SdNotify.Notifier = {
        send: (fields) => Effect.sync(() => void said.push(fields)),
        settled: Effect.void
      }
      yield* SdNotify.keepAlive(notifier, { watchdog: undefined })
      yield* SdNotify.keepAlive(notifier, { watchdog: Duration.seconds(30) })
      yield* TestClock.adjust("14 seconds")
      assert.deepStrictEqual(said, [])
      yield* TestClock.adjust("31 seconds")
      assert.deepStrictEqual(said, Array(3).fill({ WATCHDOG: 1, EXTEND_TIMEOUT_USEC: 30_000_000 }))
    })
  )

  it.scopedLive("waits until systemd has dealt with what was sent", () =>
    Effect.gen(function* () {
      const { path, next, close } = yield* listening({})
      const notifier = yield* SdNotify.open(path)
      const settled = yield* Effect.fork(notifier.settled)
      const { text, files } = yield* next
      assert.strictEqual(text, "BARRIER=1")
      close(files[0] ?? -1)
      yield* Fiber.join(settled)
    })
  )
})

describe("SdJournal", { timeout: 60_000 }, () => {
  it.scopedLive("sends fields; one of several lines by its length", () =>
    Effect.gen(function* () {
      const { path, next } = yield* listening({})
      const journal = yield* SdJournal.open(path)
      assert.isTrue(journal?.({ MESSAGE: "one\ntwo", PRIORITY: 6, LEFT_OUT: undefined }))
      assert.strictEqual((yield* next).text, "MESSAGE\n\u0007\0\0\0\0\0\0\0one\ntwo\nPRIORITY=6\n")
    })
  )

  it.scopedLive("nobody listens: there is no journal", () =>
    Effect.map(SdJournal.open("/nowhere/journal"), (journal) => assert.isUndefined(journal))
  )

  it.scopedLive("a journal that has gone doesn't stop anybody", () =>
    Effect.gen(function* () {
      const { path, end } = yield* listening({})
      const journal = yield* SdJournal.open(path)
      end()
      assert.isFalse(journal?.({ MESSAGE: "unheard" }))
      assert.isBelow(UnixSocket.connectDatagram(path), 0)
    })
  )
})
