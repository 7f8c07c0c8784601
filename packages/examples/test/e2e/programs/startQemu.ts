// startQemu BYTES LOG BINARY ARGUMENT…: stands in for libvirtd. Starts a QEMU with a memfd of that size as descriptor 3, and prints its pid.
import * as Fs from "node:fs"
import * as DetachedProcess from "@liveupdate/agent/vmm/DetachedProcess"
import { Memfd } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"

const [bytes, log = "", binary = "", ...args] = process.argv.slice(2)

const start = Effect.gen(function* () {
  const out = Fs.openSync(log, "a", 0o600)
  const ram = yield* Memfd.create({ name: "libvirt-ram", size: Number(bytes) })
  const { pid } = yield* DetachedProcess.spawn(binary, args, [out, out, ram.fd])
  process.stdout.write(`${pid}\n`)
})

Effect.runPromise(Effect.scoped(start)).catch((error: unknown) => {
  process.exitCode = 1
  process.stderr.write(`${String(error)}\n`)
})
