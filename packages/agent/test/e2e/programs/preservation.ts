// Runs inside the QEMU host: what the real kernel says to a file that is preserved twice. Prints one JSON object.
import * as Keeper from "@liveupdate/sdk/Keeper"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Token from "@liveupdate/sdk/Token"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const one = Token.make(1n)
const two = Token.make(2n)

const facts = (error: { readonly _tag: string; readonly errno?: string; readonly holder?: unknown }) => ({
  tag: error._tag,
  errno: error.errno,
  holder: error.holder
})

const program = Effect.gen(function* () {
  const memfd = yield* Memfd.create({ name: "twice", size: 1 << 20 })
  const refused = yield* Effect.scoped(
    Effect.gen(function* () {
      const first = yield* LiveUpdate.create("first")
      const second = yield* LiveUpdate.create("second")
      yield* first.preserve(memfd, one)
      const sameSession = facts(yield* Effect.flip(first.preserve(memfd, two)))
      const otherSession = facts(yield* Effect.flip(second.preserve(memfd, one)))
      const otherDescriptor = yield* Memfd.adopt({ pid: process.pid, fd: memfd.fd })
      const sameFile = facts(yield* Effect.flip(second.preserve(otherDescriptor, one)))
      const another = yield* Memfd.create({ name: "another", size: 4096 })
      const sameToken = facts(yield* Effect.flip(first.preserve(another, one)))
      const sameName = facts(yield* Effect.flip(LiveUpdate.create("first")))
      const resize = facts(yield* Effect.flip(Memfd.write(memfd, 1 << 20, Buffer.from("x"))))
      return { sameSession, otherSession, sameFile, sameToken, sameName, resize }
    })
  )
  // The scope closed both sessions, so the file is as free as before.
  const afterwards = yield* Effect.scoped(
    Effect.flatMap(LiveUpdate.create("third"), (session) => Effect.either(session.preserve(memfd, one)))
  )
  const missing = facts(yield* Effect.flip(Effect.scoped(LiveUpdate.retrieve("nobody"))))
  return { ...refused, afterwards: afterwards._tag, missing }
}).pipe(Effect.scoped, Effect.provide(LiveUpdate.layer.pipe(Layer.provide(Keeper.layer()))))

const json = (value: unknown) =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? part.toString() : part))

process.stdout.write(`${json(await Effect.runPromise(program))}\n`)
