/**
 * An embedding program that fits on a page: a service's counters, which live in memory alone and live through a new kernel. It is written
 * against the SDK's services only, so `test/Counters.test.ts` runs all of it, jump included, on a model of the kernel.
 */
import { Kexec, LiveUpdate, Memfd, Token } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"

const session = "counters"
const token = Token.make(1n)
const SLOT = 8

/** Counter `index` of a memfd that holds them one after the other, as u64. */
export const read = (memory: Memfd.Memfd | Memfd.Managed, index: number) =>
  Effect.map(Memfd.read(memory, index * SLOT, SLOT), (bytes) => bytes.readBigUInt64LE(0))

export const increment = (memory: Memfd.Memfd, index: number) =>
  Effect.flatMap(read(memory, index), (value) => {
    const bytes = Buffer.alloc(SLOT)
    bytes.writeBigUInt64LE(value + 1n)
    return Memfd.write(memory, index * SLOT, bytes)
  })

export const create = (count: number) => Memfd.create({ name: session, size: count * SLOT })

/** Takes the host into another kernel. Returns only by failing, and then the counters are as free as before. */
export const handOver = (memory: Memfd.Memfd, kernel: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* Kexec.load({ kernel, commandLine: "root=/dev/vda rw liveupdate=on" })
      const outgoing = yield* LiveUpdate.create(session)
      yield* outgoing.preserve(memory, token)
      return yield* Kexec.jump
    })
  )

/** What the previous kernel's service left; its scope is the caller's. */
export const takeOver = Effect.gen(function* () {
  const incoming = yield* LiveUpdate.retrieve(session)
  const memory = yield* incoming.retrieve(Memfd.Memfd, token)
  const finished = yield* incoming.finish
  return yield* finished.own(memory)
})
