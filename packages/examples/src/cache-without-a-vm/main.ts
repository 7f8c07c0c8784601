// fill ENTRIES KERNEL: a cache of that many entries, and a jump. read: what of it is there under the next kernel, as one JSON object.
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { Keeper, Kexec, LiveUpdate } from "@liveupdate/sdk"
import { Effect, Layer } from "effect"
import * as Cache from "./Cache.ts"

const valueOf = (key: string) => Buffer.from(`${key} `.repeat(200))

const fill = (entries: number, kernel: string) =>
  Effect.gen(function* () {
    const cache = yield* Cache.create(entries * 4096)
    for (let index = 0; index < entries; index++) yield* cache.set(`key-${index}`, valueOf(`key-${index}`))
    // kexec stops nobody and syncs nothing.
    yield* Effect.sync(() => execFileSync("sync"))
    return yield* Cache.handOver(cache, { kernel, commandLine: readFileSync("/proc/cmdline", "utf8").trim() })
  })

const read = Effect.gen(function* () {
  const cache = yield* Cache.takeOver
  const intact = yield* Effect.filter(cache.keys(), (key) =>
    Effect.map(cache.get(key), (value) => value?.equals(valueOf(key)) === true)
  )
  process.stdout.write(`${JSON.stringify({ entries: cache.keys().length, intact: intact.length })}\n`)
})

const [what, entries, kernel = ""] = process.argv.slice(2)
const layer = Layer.merge(LiveUpdate.layer.pipe(Layer.provide(Keeper.layer())), Kexec.layer)
Effect.runPromise(
  Effect.provide(Effect.scoped(what === "fill" ? fill(Number(entries), kernel) : Effect.asVoid(read)), layer)
).catch((error: unknown) => {
  process.exitCode = 1
  process.stderr.write(`${String(error)}\n`)
})
