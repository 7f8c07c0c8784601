// Runs inside the QEMU host: what the real kernel says to a file that is preserved twice, and what is left of a set of files when
// it refuses one of them. Prints one JSON object.
import * as Keeper from "@liveupdate/sdk/Keeper"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Preservation from "@liveupdate/sdk/Preservation"
import * as Token from "@liveupdate/sdk/Token"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const one = Token.make(1n)
const two = Token.make(2n)

const facts = (error: { readonly _tag: string; readonly errno?: string; readonly holder?: unknown }) => ({
  tag: error._tag,
  errno: error.errno,
  holder: error.holder
})

const sdk = LiveUpdate.layer.pipe(Layer.provide(Keeper.layer()))

/** A set whose file at `position` is in a session that this SDK knows nothing of: only the kernel can refuse it, and does so last. */
const refusedAt = (position: number) =>
  Effect.gen(function* () {
    const names = ["a", "b", "c", "d"]
    const memfds = yield* Effect.forEach(names, (name) => Memfd.create({ name, size: 2 << 20 }))
    const files = Object.fromEntries(
      memfds.map((file, index) => [names[index] ?? "", { file, token: Token.make(BigInt(index + 1)) }])
    )
    const set = (session: string, members: Preservation.Files) =>
      Effect.scoped(Preservation.preserve({ session, files: members }, Schema.Null, null))
    const { refused, others } = yield* Effect.gen(function* () {
      const stranger = yield* LiveUpdate.create("stranger")
      const held = memfds[position]
      if (held !== undefined) yield* stranger.preserve(held, one)
      return yield* Effect.gen(function* () {
        const refused = yield* Effect.flip(set("set", files))
        const free = Object.fromEntries(Object.entries(files).filter(([name]) => name !== names[position]))
        return { refused, others: (yield* Effect.either(set("set", free)))._tag }
      }).pipe(Effect.provide(Layer.fresh(sdk)))
    }).pipe(Effect.scoped)
    return {
      tag: refused._tag,
      session: "session" in refused ? refused.session : undefined,
      token: "token" in refused ? refused.token : undefined,
      others,
      afterwards: (yield* Effect.either(set("set", files)))._tag
    }
  }).pipe(Effect.scoped)

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
  const sets = yield* Effect.forEach([0, 1, 2, 3], refusedAt)
  return { ...refused, afterwards: afterwards._tag, missing, sets }
}).pipe(Effect.scoped, Effect.provide(sdk))

const json = (value: unknown) =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? part.toString() : part))

process.stdout.write(`${json(await Effect.runPromise(program))}\n`)
