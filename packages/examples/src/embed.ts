// The smallest embedding: hand a VMM's guest RAM over to the next kernel, and take it back there.
// node embed.js before PID KERNEL       (old kernel: preserves descriptor 3 of PID and jumps)
// node embed.js after                   (new kernel: retrieves and finishes)
import { Keeper, Kexec, LiveUpdate, Memfd, Token } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const ramToken = Token.make(1n)

const before = (pid: number, kernel: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const ram = yield* Memfd.adopt({ pid, fd: 3 })
      yield* Kexec.load({ kernel, commandLine: "console=ttyS0 root=/dev/vda rw liveupdate=on" })
      const session = yield* LiveUpdate.create("vm-42")
      yield* session.preserve(ram, ramToken)
      // Pause the guest here and save its state; let a finalizer resume it, which runs only if the jump didn't happen.
      return yield* Kexec.jump
    })
  ).pipe(Effect.catchTag("AlreadyPreserved", (error) => Effect.logError(error.message)))

const after = Effect.scoped(
  Effect.gen(function* () {
    const session = yield* LiveUpdate.retrieve("vm-42")
    const ram = yield* session.retrieve(Memfd.Memfd, ramToken)
    yield* Effect.logInfo(`${yield* Memfd.size(ram)} bytes of guest RAM are back; give them to the VMM as descriptor 3`)
    yield* session.finish
  })
)

const [phase, pid, kernel = ""] = process.argv.slice(2)
const program = phase === "before" ? before(Number(pid), kernel) : after
Effect.runPromise(
  Effect.provide(program, Layer.merge(LiveUpdate.layer.pipe(Layer.provide(Keeper.layer())), Kexec.layer))
).catch((error: unknown) => {
  process.exitCode = 1
  process.stderr.write(`${String(error)}\n`)
})
