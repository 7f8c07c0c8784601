// Runs inside the QEMU host: sessions that come through a real jump, processes that are killed at work on them, and others that
// take them up again.
//
//   preserve SEED KERNEL            creates all sessions, and jumps
//   victim SEED SESSION POINT WHO   is killed there: by itself, or from outside when it has said "ready"
//   survivor SEED SESSION POINT     takes the session up, compares every byte, finishes it; prints one JSON object
//   unheld SEED SESSION             a victim whose session nobody else holds
//   hold SEED SESSION, release SEED SESSION
//   lend SEED                       retrieves the described session's file, says "PID FD", and stays
//   claim SEED PID FD               takes the session over, and preserves that file, which it knows by the manifest alone
//   service SEED SESSION RESULT     a victim at its first start, a survivor at its second; the result goes to a file
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Custody from "@liveupdate/sdk/Custody"
import type { Managed } from "@liveupdate/sdk/Handle"
import * as Keeper from "@liveupdate/sdk/Keeper"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Preservation from "@liveupdate/sdk/Preservation"
import type { IncomingSession } from "@liveupdate/sdk/Session"
import * as SystemdFdStore from "@liveupdate/sdk/SystemdFdStore"
import * as Token from "@liveupdate/sdk/Token"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

const [mode = "", seedText = "", ...rest] = process.argv.slice(2)
const seed = Number(seedText)

const sessions = Array.from({ length: 20 }, (_, index) => `custody-${index}`)
const others = ["custody-unheld", "custody:systemd ü"]
/** One with a manifest, which says what its file is. */
const described = "custody-described"
const RAM = Token.make(7n)
const tokens = [Token.make(1n), Token.make(2n)]

const random = (from: number) => {
  let state = Math.imul(from ^ 0x9e3779b9, 0x85ebca6b) || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

const idOf = (session: string, file: number) => seed + [...sessions, ...others].indexOf(session) * 16 + file

/** From one byte to 2 MiB and some; hardly ever whole pages. */
const sizeOf = (session: string, file: number) => 1 + (random(idOf(session, file))() % (2 << 20))

/** What lies in a file: as it was preserved, or as it was written after the jump. */
const pattern = (session: string, file: number, written: boolean): Buffer => {
  const words = new Uint32Array(Math.ceil(sizeOf(session, file) / 4))
  const next = random(idOf(session, file) + (written ? 0x10000 : 0x20000))
  for (let index = 0; index < words.length; index++) words[index] = next()
  return Buffer.from(words.buffer, 0, sizeOf(session, file))
}

/** How much of the first file was written again before the process was killed. */
const writtenAt = (session: string, point: string): number => {
  if (point === "half-written") return Math.floor(sizeOf(session, 0) / 2)
  return point === "written" || point === "before-finish" ? sizeOf(session, 0) : 0
}

const expected = (session: string, file: number, point: string): Buffer => {
  const bytes = pattern(session, file, false)
  if (file === 0) pattern(session, file, true).copy(bytes, 0, 0, writtenAt(session, point))
  return bytes
}

const preserve = (kernel: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      for (const name of [...sessions, ...others]) {
        const session = yield* LiveUpdate.create(name)
        for (const [file, token] of tokens.entries()) {
          const memfd = yield* Memfd.create({ name, size: sizeOf(name, file) })
          yield* Memfd.write(memfd, 0, pattern(name, file, false))
          yield* session.preserve(memfd, token)
        }
      }
      const ram = yield* Memfd.create({ name: described, size: 4096 })
      const files = { ram: { file: ram, token: RAM } }
      yield* Preservation.preserve({ session: described, files }, Schema.Null, null)
      yield* Kexec.load({ kernel, commandLine: Fs.readFileSync("/proc/cmdline", "utf8").trim() })
      execFileSync("sync")
      return yield* Kexec.jump
    })
  )

/** Never returns. */
const die = (who: string) =>
  Effect.sync((): never => {
    if (who === "itself") process.kill(process.pid, "SIGKILL")
    Fs.writeSync(1, "ready\n")
    for (;;) Math.random()
  })

const files = (session: IncomingSession) =>
  Effect.forEach(tokens, (token) => session.retrieve(Memfd.Memfd, token), { concurrency: "unbounded" })

const writeAgain = (session: string, point: string, handle: Managed | undefined) =>
  Effect.sync(() => {
    const bytes = pattern(session, 0, true).subarray(0, writtenAt(session, point))
    for (let done = 0; done < bytes.length; )
      done += Fs.writeSync(handle?.fd ?? -1, bytes, done, bytes.length - done, done)
  })

const readAll = (handles: ReadonlyArray<Managed>) =>
  Effect.sync(() => handles.map((handle) => Fs.readFileSync(`/proc/self/fd/${handle.fd}`)))

const victim = (name: string, point: string, who: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      if (point === "left") yield* Effect.scoped(Effect.flatMap(LiveUpdate.retrieve(name), files))
      const session = yield* LiveUpdate.retrieve(name)
      if (point === "retrieved") return yield* die(who)
      if (point === "asking-for-a-file" || point === "asking-for-all") {
        const asked = point === "asking-for-all" ? tokens : tokens.slice(0, 1)
        yield* Effect.forEach(asked, (token) => Effect.fork(session.retrieve(Memfd.Memfd, token)))
        // The requests are on their way to the kernel, on other threads.
        yield* Effect.yieldNow()
        return yield* die(who)
      }
      if (point === "file-retrieved") {
        yield* session.retrieve(Memfd.Memfd, Token.make(1n))
        return yield* die(who)
      }
      const handles = yield* files(session)
      if (point === "all-retrieved" || point === "left") return yield* die(who)
      yield* readAll(handles)
      if (point === "read") return yield* die(who)
      yield* writeAgain(name, point, handles[0])
      if (point === "before-finish") yield* readAll(handles)
      return yield* die(who)
    })
  )

const survivor = (name: string, point: string) =>
  Effect.gen(function* () {
    const holders = (yield* Custody.list).filter((held) => held.session === name).map((held) => held.holder)
    const compared = yield* Effect.scoped(
      Effect.gen(function* () {
        const session = yield* LiveUpdate.retrieve(name)
        const contents = yield* Effect.flatMap(files(session), readAll)
        yield* session.finish
        return contents.map((found, file) => {
          const wanted = expected(name, file, point)
          return { bytes: found.length, intact: found.equals(wanted) }
        })
      })
    )
    return { session: name, holders, files: compared }
  })

const holdOne = (name: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const custody = yield* Custody.Custody
      const memfd = yield* Memfd.create({ name, size: 4096 })
      yield* custody.confirm(name, memfd.fd)
    })
  )

const lend = Effect.scoped(
  Effect.gen(function* () {
    const session = yield* LiveUpdate.retrieve(described)
    const { fd } = yield* session.retrieve(Memfd.Memfd, RAM)
    Fs.writeSync(1, `${process.pid} ${fd}\n`)
    return yield* Effect.never
  })
)

const claim = (pid: number, fd: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* LiveUpdate.retrieve(described)
      const file = yield* Memfd.adopt({ pid, fd })
      const preserve = Effect.scoped(
        Effect.flatMap(LiveUpdate.create("claim"), (claimed) => claimed.preserve(file, Token.make(1n)))
      )
      const { _tag: tag, ...refused } = yield* Effect.orDieWith(
        Effect.flip(preserve),
        () => new Error("nobody refused it")
      )
      const holder = "holder" in refused ? refused.holder : undefined
      yield* Preservation.restore(session, Schema.Null, { ram: Memfd.Memfd })
      yield* session.finish
      return { tag, holder, finished: (yield* Effect.either(preserve))._tag }
    })
  )

const stored = () => execFileSync("systemctl", ["show", "-p", "NFileDescriptorStore", "--value", "custody-store"])

const service = (name: string, result: string) =>
  Effect.gen(function* () {
    const started = yield* Custody.list
    if (started.length === 0) return yield* victim(name, "half-written", "itself")
    const before = Number(stored())
    const survived = yield* survivor(name, "half-written")
    const after = yield* Effect.sync(() => Number(stored())).pipe(
      Effect.repeat({
        until: (count) => count === 0,
        schedule: Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(100))
      }),
      Effect.zipRight(Effect.sync(() => Number(stored())))
    )
    Fs.writeFileSync(`${result}.new`, JSON.stringify({ ...survived, stored: { before, after } }))
    Fs.renameSync(`${result}.new`, result)
    return undefined
  })

const run = (): Effect.Effect<
  unknown,
  { readonly message: string },
  Custody.Custody | LiveUpdate.LiveUpdate | Kexec.Kexec
> => {
  const [one = "", two = "", three = ""] = rest
  switch (mode) {
    case "preserve":
      return preserve(one)
    case "victim":
      return victim(one, two, three)
    case "unheld":
      return victim(one, "all-retrieved", "itself")
    case "hold":
      return holdOne(one)
    case "release":
      return Effect.flatMap(Custody.Custody, (custody) => custody.release(one))
    case "lend":
      return lend
    case "claim":
      return claim(Number(one), Number(two))
    case "survivor":
      return survivor(one, two)
    default:
      return service(one, two)
  }
}

const custody =
  mode === "unheld" ? Custody.layerMemory : mode === "service" ? SystemdFdStore.layerOr(Keeper.layer()) : Keeper.layer()

const answer = await Effect.runPromise(
  Effect.provide(
    Effect.catchAll(run(), (error) => Effect.succeed({ error: error.message })),
    Layer.merge(LiveUpdate.layer.pipe(Layer.provideMerge(custody)), Kexec.layer)
  )
)
if (answer !== undefined)
  process.stdout.write(
    `${JSON.stringify(answer, (_key, part: unknown) => (typeof part === "bigint" ? part.toString() : part))}\n`
  )
