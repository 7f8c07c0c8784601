import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Kexec from "../src/Kexec.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import * as SimulatedHost from "../src/SimulatedHost.ts"
import * as Token from "../src/Token.ts"

const host = (options?: SimulatedHost.Options) =>
  Kexec.layerMemory.pipe(Layer.provideMerge(LiveUpdate.layerMemory(options)))

const one = Token.make(1n)
const load = Kexec.load({ kernel: "/boot/vmlinuz-of-nobody", commandLine: "liveupdate=on" })

/** A guest's RAM in a session, and the jump. */
const handOver = (text: string) =>
  Effect.gen(function* () {
    const ram = yield* Memfd.create({ name: "ram", size: 8192 })
    yield* Memfd.write(ram, 4096, Buffer.from(text))
    yield* load
    const session = yield* LiveUpdate.create("vm")
    yield* session.preserve(ram, one)
    return yield* Kexec.jump
  })

describe("SimulatedHost", () => {
  it.scoped("memory comes through a simulated jump", () =>
    Effect.gen(function* () {
      yield* SimulatedHost.simulateKexec(Effect.scoped(handOver("hello")))
      const session = yield* LiveUpdate.retrieve("vm")
      const ram = yield* session.retrieve(Memfd.Memfd, one)
      assert.strictEqual(yield* Memfd.size(ram), 8192)
      assert.strictEqual((yield* Memfd.read(ram, 4096, 5)).toString(), "hello")
      const owned = yield* (yield* session.finish).own(ram)
      yield* Memfd.resize(owned, 4096)
      assert.isFalse(yield* Effect.flatMap(Kexec.Kexec, (_) => _.isLoaded))
    }).pipe(Effect.provide(host()))
  )

  it.scoped("nothing of the old program runs after its jump: no finalizer, no other fiber", () =>
    Effect.gen(function* () {
      const heard: Array<string> = []
      const beat = Effect.repeatN(
        Effect.zipRight(
          Effect.yieldNow(),
          Effect.sync(() => heard.push("beat"))
        ),
        1_000_000
      )
      yield* SimulatedHost.simulateKexec(
        Effect.gen(function* () {
          yield* Effect.addFinalizer(() => Effect.sync(() => heard.push("finalizer")))
          yield* Effect.fork(beat)
          yield* Effect.forkDaemon(beat)
          yield* Effect.yieldNow()
          return yield* handOver("x")
        }).pipe(Effect.ensuring(Effect.sync(() => heard.push("ensuring"))), Effect.scoped)
      )
      const then = heard.length
      assert.isAbove(then, 0)
      for (let i = 0; i < 100; i++) yield* Effect.yieldNow()
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(heard.length, then)
      assert.notInclude(heard, "finalizer")
      assert.notInclude(heard, "ensuring")
    }).pipe(Effect.provide(host()))
  )

  it.scoped("a program that ends without a jump: NotJumped; one that fails: its error", () =>
    Effect.gen(function* () {
      const ended = yield* Effect.flip(SimulatedHost.simulateKexec(Effect.scoped(load)))
      assert.strictEqual(ended._tag, "NotJumped")
      const failed = yield* Effect.flip(SimulatedHost.simulateKexec(Kexec.jump))
      assert.strictEqual(failed._tag, "KexecNotLoaded")
      const own = yield* Effect.flip(SimulatedHost.simulateKexec(Effect.fail("mine" as const)))
      assert.strictEqual(own, "mine")
    }).pipe(Effect.provide(host()))
  )

  it.scoped("a file that can't be frozen: the jump fails, the session works on, and the next jump succeeds", () => {
    let broken = true
    return Effect.gen(function* () {
      const before = Effect.gen(function* () {
        const refused = yield* Effect.flip(handOver("kept"))
        assert.strictEqual(refused._tag, "FreezeFailed")
        broken = false
        return yield* Kexec.jump
      })
      yield* SimulatedHost.simulateKexec(Effect.scoped(before))
      const session = yield* LiveUpdate.retrieve("vm")
      assert.strictEqual((yield* Memfd.read(yield* session.retrieve(Memfd.Memfd, one), 4096, 4)).toString(), "kept")
    }).pipe(Effect.provide(host({ faults: { freeze: () => (broken ? "EIO" : undefined) } })))
  })

  it.scoped(
    "a session that refuses to be finished can be finished later; an unfinished one is held and found again",
    () => {
      let bound = false
      return Effect.gen(function* () {
        yield* SimulatedHost.simulateKexec(Effect.scoped(handOver("held")))
        const first = yield* Effect.scoped(
          Effect.flatMap(LiveUpdate.retrieve("vm"), (session) => Effect.flip(session.finish))
        )
        assert.strictEqual(first._tag, "FinishRefused")
        bound = true
        const session = yield* LiveUpdate.retrieve("vm")
        assert.strictEqual((yield* Memfd.read(yield* session.retrieve(Memfd.Memfd, one), 4096, 4)).toString(), "held")
        yield* session.finish
      }).pipe(Effect.provide(host({ faults: { canFinish: () => bound } })))
    }
  )

  it.scoped("a retrieve that failed stays failed", () => {
    let failures = 0
    return Effect.gen(function* () {
      yield* SimulatedHost.simulateKexec(Effect.scoped(handOver("lost")))
      const session = yield* LiveUpdate.retrieve("vm")
      const tries = [session.retrieve(Memfd.Memfd, one), session.retrieve(Memfd.Memfd, one)]
      for (const attempt of tries) {
        const error = yield* Effect.flip(attempt)
        assert.strictEqual(error._tag, "RetrieveFailed")
      }
      assert.strictEqual(failures, 1)
    }).pipe(
      Effect.provide(
        host({
          faults: {
            retrieve: () => {
              failures++
              return "EIO"
            }
          }
        })
      )
    )
  })

  it.scoped("a fault in opening the device", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(LiveUpdate.probe))._tag, "DeviceBusy")
    }).pipe(Effect.provide(host({ faults: { open: () => "EBUSY" } })))
  )

  it.scoped("a service that was built elsewhere uses the simulated host all the same", () =>
    Effect.gen(function* () {
      const service = yield* LiveUpdate.LiveUpdate.pipe(Effect.provide(host()))
      assert.strictEqual((yield* Effect.flip(service.retrieve("nobody")))._tag, "SessionNotFound")
    })
  )

  it.scoped("6.19: a file is guarded by the SDK; 745 sessions are too many, and so are 129 files", () =>
    Effect.gen(function* () {
      const memfd = yield* Memfd.create({ name: "x", size: 0 })
      const session = yield* LiveUpdate.create("a")
      yield* session.preserve(memfd, one)
      assert.strictEqual((yield* Effect.flip(session.preserve(memfd, Token.make(2n))))._tag, "AlreadyPreserved")
      for (let i = 2; i <= 128; i++)
        yield* session.preserve(yield* Memfd.create({ name: "x", size: 0 }), Token.make(BigInt(i)))
      const full = yield* Effect.flip(session.preserve(yield* Memfd.create({ name: "x", size: 0 }), Token.make(129n)))
      assert.deepInclude(full, { _tag: "LimitReached", limit: "files", errno: "ENOSPC" })
      for (let i = 1; i < 744; i++) yield* LiveUpdate.create(`s${i}`)
      const many = yield* Effect.flip(LiveUpdate.create("one more"))
      assert.deepInclude(many, { _tag: "LimitReached", errno: "ENOMEM" })
    }).pipe(Effect.provide(host({ profile: "6.19" })))
  )

  it.effect("leaves no descriptor behind, jump or no jump", () =>
    Effect.gen(function* () {
      const count = Effect.sync(() => Fs.readdirSync("/proc/self/fd").length)
      const round = Effect.gen(function* () {
        yield* SimulatedHost.simulateKexec(Effect.scoped(handOver("x")))
        yield* Effect.scoped(LiveUpdate.retrieve("vm"))
        yield* SimulatedHost.simulateKexec(Effect.scoped(handOver("y")))
        yield* Effect.ignore(SimulatedHost.simulateKexec(Effect.scoped(load)))
      })
      yield* Effect.provide(round, host())
      const before = yield* count
      for (let i = 0; i < 10; i++) yield* Effect.provide(round, host())
      assert.strictEqual(yield* count, before)
    })
  )
})
