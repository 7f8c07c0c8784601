/**
 * Memfds for the benchmark, with folios of the size that is asked for.
 */
import * as Fs from "node:fs"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Effect from "effect/Effect"

export type Folios = "small-folios" | "huge-folios"

const MIB = 1 << 20

/** Bytes of shared memory in huge folios, /proc/meminfo. */
const hugeBytes = (): number =>
  Number(/^ShmemHugePages:\s+(\d+) kB$/m.exec(Fs.readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024

/** What new memfds of all processes are made of. */
export const allow = (folios: Folios) =>
  Effect.sync(() =>
    Fs.writeFileSync("/sys/kernel/mm/transparent_hugepage/shmem_enabled", folios === "huge-folios" ? "advise" : "never")
  )

/** All of it allocated. Dies when the kernel gave other folios than asked for: the figures would say nothing. */
export const memfd = (folios: Folios, mebibytes: number) =>
  Effect.gen(function* () {
    yield* allow(folios)
    const before = hugeBytes()
    const memory = yield* Memfd.create({ name: folios, size: mebibytes * MIB, hugePages: true })
    const huge = (hugeBytes() - before) / (mebibytes * MIB)
    if (folios === "huge-folios" ? huge < 0.95 : huge > 0)
      return yield* Effect.dieMessage(`${folios}: ${Math.round(huge * 100)} % of ${mebibytes} MiB are in huge folios`)
    return memory
  })

/** A page with something in it; a kernel that is free to would make a huge folio of it. */
export const smallFile = Effect.gen(function* () {
  yield* allow("small-folios")
  const file = yield* Memfd.create({ name: "bench", size: 4096 })
  yield* Memfd.write(file, 0, Buffer.from("x"))
  return file
})
