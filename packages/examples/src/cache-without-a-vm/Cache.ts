/**
 * A cache of one process, whose entries lie in a memfd: one record after the other, each the lengths of its key and value (u32), the key,
 * the value. Where the last record of a key is, is found again by reading the memory from its beginning, so nothing else has to go along.
 */
import { Kexec, LiveUpdate, type LiveUpdateError, Memfd, Token } from "@liveupdate/sdk"
import { Data, Effect } from "effect"

const session = "cache"
const tokens = Token.names({ entries: 1n })
const HEAD = 8

export class CacheFull extends Data.TaggedError("CacheFull")<{ readonly bytes: number }> {}

export interface Cache {
  readonly memory: Memfd.Memfd
  readonly keys: () => ReadonlyArray<string>
  readonly get: (key: string) => Effect.Effect<Buffer | undefined, LiveUpdateError.LiveUpdateError>
  readonly set: (key: string, value: Buffer) => Effect.Effect<void, LiveUpdateError.LiveUpdateError | CacheFull>
}

/** The cache in this memory; new memory is an empty one. */
export const open = (memory: Memfd.Memfd) =>
  Effect.gen(function* () {
    const bytes = yield* Memfd.size(memory)
    const places = new Map<string, { readonly at: number; readonly length: number }>()
    let end = 0
    while (end + HEAD <= bytes) {
      const head = yield* Memfd.read(memory, end, HEAD)
      const [key, value] = [head.readUInt32LE(0), head.readUInt32LE(4)]
      if (key === 0) break
      places.set(String(yield* Memfd.read(memory, end + HEAD, key)), { at: end + HEAD + key, length: value })
      end += HEAD + key + value
    }
    const cache: Cache = {
      memory,
      keys: () => [...places.keys()],
      get: (key) => {
        const place = places.get(key)
        return place === undefined ? Effect.succeed(undefined) : Memfd.read(memory, place.at, place.length)
      },
      set: (key, value) =>
        Effect.gen(function* () {
          const name = Buffer.from(key)
          const at = end + HEAD + name.length
          if (at + value.length > bytes) return yield* new CacheFull({ bytes })
          const head = Buffer.alloc(HEAD)
          head.writeUInt32LE(name.length, 0)
          head.writeUInt32LE(value.length, 4)
          yield* Memfd.write(memory, end + HEAD, Buffer.concat([name, value]))
          // Last: a record without its head is none.
          yield* Memfd.write(memory, end, head)
          places.set(key, { at, length: value.length })
          end = at + value.length
        })
    }
    return cache
  })

/** A new one; it goes with the scope, unless it is handed over. */
export const create = (bytes: number) =>
  Effect.flatMap(Memfd.create({ name: session, size: bytes, hugePages: true }), open)

/** Takes the host into another kernel, and the entries along. Nobody may write meanwhile. Returns only by failing. */
export const handOver = ({ memory }: Cache, kernel: Kexec.LoadOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* Kexec.load(kernel)
      const outgoing = yield* LiveUpdate.create(session)
      yield* outgoing.preserve(memory, tokens.entries)
      return yield* Kexec.jump
    })
  )

/** What the previous kernel's process has left, as if it had never ended. */
export const takeOver = Effect.gen(function* () {
  const incoming = yield* LiveUpdate.retrieve(session)
  const memory = yield* incoming.retrieve(Memfd.Memfd, tokens.entries)
  const finished = yield* incoming.finish
  return yield* open(yield* finished.own(memory))
})
