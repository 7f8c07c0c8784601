// A service that keeps something in systemd's file descriptor store, as any service may: what it finds there at its start, it writes down.
import * as Fs from "node:fs"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as SdNotify from "@liveupdate/sdk/SdNotify"
import * as Effect from "effect/Effect"

const [, , found = "", content = ""] = process.argv

const main = Effect.gen(function* () {
  const notifier = yield* SdNotify.open(process.env["NOTIFY_SOCKET"])
  const passed = Number(process.env["LISTEN_FDS"] ?? 0)
  // The first descriptor that systemd passes is 3.
  Fs.writeFileSync(
    found,
    passed === 0 ? "" : `${process.env["LISTEN_FDNAMES"]}=${Fs.readFileSync("/proc/self/fd/3", "utf8")}`
  )
  if (passed === 0) {
    const memfd = yield* Memfd.create({ name: "cache", size: Buffer.byteLength(content) })
    yield* Memfd.write(memfd, 0, Buffer.from(content))
    yield* notifier.send({ FDSTORE: 1, FDNAME: "cache" }, { file: memfd.fd })
  }
  yield* notifier.send({ READY: 1 })
  yield* notifier.settled
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(main))
// An effect that waits for ever keeps no process alive.
setInterval(() => undefined, 1 << 30)
