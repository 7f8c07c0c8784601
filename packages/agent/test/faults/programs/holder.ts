// Runs inside the QEMU host: somebody else who is at the same files and sessions as the agent.
//
//   file PID NAME           preserves the memfd of that name, of that process, in a session of its own
//   descriptor PID FD       the same, of a memfd that has another name since it was retrieved
//   token PID SESSION N     preserves a memfd of its own in that process's session, at the token N
//   unload                  unloads the next kernel
//
// The first three make /var/lib/e2e/held when they have it, and keep it until they are ended.
import { readdirSync, readlinkSync, writeFileSync } from "node:fs"
import * as Keeper from "@liveupdate/sdk/Keeper"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Token from "@liveupdate/sdk/Token"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Device from "../../../../sdk/dist/internal/device.js"
import * as Fd from "../../../../sdk/dist/internal/fd.js"
import * as ioctl from "../../../../sdk/dist/internal/ioctl.js"
import * as Turn from "../../../src/upgrade/Turn.ts"

const [what, pidText = "", name = "", token = ""] = process.argv.slice(2)
const pid = Number(pidText)

/** Descriptors of the process whose link says this. */
const descriptors = (wanted: string) =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).includes(wanted)
    } catch {
      return false
    }
  })

const wait = Effect.zipRight(
  Effect.sync(() => writeFileSync("/var/lib/e2e/held", "")),
  Effect.never
)

const file = Effect.gen(function* () {
  const [fd] = what === "descriptor" ? [name] : descriptors(`memfd:${name}`)
  if (fd === undefined) return yield* Effect.dieMessage(`process ${pid} has no memfd ${name}`)
  const memfd = yield* Memfd.adopt({ pid, fd: Number(fd) })
  const session = yield* Turn.ofDevice(LiveUpdate.create("somebody-else"))
  yield* session.preserve(memfd, Token.make(1n))
  yield* wait
})

const takeToken = Effect.gen(function* () {
  const memfd = yield* Memfd.create({ name: "somebody-else", size: 4096 })
  for (const fd of descriptors("luo_session")) {
    const session = yield* Fd.adopt("memfd.adopt", {}, { pid, fd: Number(fd) })
    if ((yield* Device.sessionName(session, name)) !== name) continue
    yield* Fd.request("session.preserve", {}, session, ioctl.liveupdate.preserveFd, {
      fd: memfd.fd,
      token: BigInt(token)
    })
    return yield* wait
  }
  return yield* Effect.dieMessage(`process ${pid} has no session ${name}`)
})

const unload = Kexec.unload

const program = Effect.scoped<unknown, unknown, LiveUpdate.LiveUpdate | Kexec.Kexec | Scope.Scope>(
  what === "file" || what === "descriptor" ? file : what === "token" ? takeToken : unload
)

await Effect.runPromise(
  program.pipe(Effect.provide(Layer.merge(LiveUpdate.layer.pipe(Layer.provide(Keeper.layer())), Kexec.layer)))
)
