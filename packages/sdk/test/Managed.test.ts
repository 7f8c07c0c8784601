import { existsSync, readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Handle from "../src/Handle.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import * as Preservation from "../src/Preservation.ts"
import type { OutgoingSession } from "../src/Session.ts"
import * as Token from "../src/Token.ts"
import * as MemoryHost from "./MemoryHost.ts"

const tokens = Token.names({ ram: 1n, state: 2n })
const sizes = { ram: 8192, state: 4096 }

/** Two sessions that came through a jump, with a manifest that names `ram` and `state`. */
const handOver = (machine: Parameters<typeof MemoryHost.jumpAfter>[0]) =>
  MemoryHost.jumpAfter(
    machine,
    Effect.forEach(
      ["one", "two"],
      (session) =>
        Effect.gen(function* () {
          const files = {
            ram: { file: yield* Memfd.create({ name: "ram", size: sizes.ram }), token: tokens.ram },
            state: { file: yield* Memfd.create({ name: "state", size: sizes.state }), token: tokens.state }
          }
          yield* Preservation.preserve({ session, files }, Schema.Null, null)
        }),
      { discard: true }
    )
  )

/** By itself and not by a list of all: listing them opens one more. */
const isOpen = (fd: number) => existsSync(`/proc/self/fd/${fd}`)

describe("a managed handle", () => {
  it("has a type that keeps it from what only an owner may do", () => {
    // Never run: the compiler is what is tested.
    const refused = (managed: Memfd.Managed, owned: Memfd.Memfd, session: OutgoingSession) => [
      // @ts-expect-error it can't be preserved again
      session.preserve(managed, tokens.ram),
      // @ts-expect-error nor resized
      Memfd.resize(managed, 0),
      // @ts-expect-error nor sealed
      Memfd.addSeals(managed, "write"),
      // @ts-expect-error nor written by the SDK, which may grow it
      Memfd.write(managed, 0, new Uint8Array()),
      // @ts-expect-error nor closed before its scope
      Handle.close(managed),
      // @ts-expect-error nor put into a preservation
      Preservation.open({ session: "x", files: { ram: { file: managed, token: tokens.ram } } }),
      // @ts-expect-error nor be called owned
      ((handle: Handle.Owned) => handle)(managed),
      // @ts-expect-error and what is owned is of no session
      ((handle: Handle.Managed) => handle)(owned),
      session.preserve(owned, tokens.ram),
      Handle.close(owned),
      Memfd.size(managed),
      Memfd.read(managed, 0, 1)
    ]
    assert.isFunction(refused)
  })

  it.scoped("is its owner's after finish: preserved again, resized, closed", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      yield* handOver(machine)
      yield* Effect.gen(function* () {
        const session = yield* LiveUpdate.retrieve("one")
        const managed = yield* session.retrieve(Memfd.Memfd, tokens.ram)
        const finished = yield* session.finish
        const owned = yield* finished.own(managed)
        assert.strictEqual(owned.fd, managed.fd)
        yield* Memfd.resize(owned, sizes.ram * 2)
        yield* Effect.scoped(
          Preservation.preserve(
            { session: "again", files: { ram: { file: owned, token: tokens.ram } } },
            Schema.Null,
            null
          )
        )
        yield* Handle.close(owned)
        assert.isFalse(isOpen(owned.fd))
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine)))
    })
  )

  it.scoped("is not owned by the end of another session", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      yield* handOver(machine)
      yield* Effect.gen(function* () {
        const [one, two] = [yield* LiveUpdate.retrieve("one"), yield* LiveUpdate.retrieve("two")]
        const managed = yield* one.retrieve(Memfd.Memfd, tokens.ram)
        const error = yield* Effect.flip(Effect.flatMap(two.finish, (finished) => finished.own(managed)))
        assert.deepInclude(error, { _tag: "NotOfThisSession", session: "two", kind: "memfd" })
        yield* one.finish
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine)))
    })
  )

  it.scoped("is held until finish, and the refusal says where, under the name that the manifest has", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryHost.acquire()
      yield* handOver(machine)
      yield* Effect.gen(function* () {
        const session = yield* LiveUpdate.retrieve("one")
        const { files } = yield* Preservation.restore(session, Schema.Null, { ram: Memfd.Memfd, state: Memfd.Memfd })
        const vmms = yield* Memfd.adopt({ pid: process.pid, fd: files.ram.fd })
        const next = yield* LiveUpdate.create("next")
        const error = yield* Effect.flip(next.preserve(vmms, tokens.ram))
        const holder = { session: "one", token: tokens.ram, file: "ram" }
        assert.deepInclude(error, { _tag: "ManagedUntilFinish", holder })
        assert.include(error.message, 'session "one" as "ram" (token 1)')
        yield* session.finish
        yield* next.preserve(vmms, tokens.ram)
      }).pipe(Effect.scoped, Effect.provide(MemoryHost.program(machine)))
    })
  )

  // 6.19 would preserve it a second time without a word; the others refuse without saying who holds it.
  for (const profile of ["7.3", "6.19"] as const)
    it.scoped(`is found through its session's manifest when another program retrieved it (${profile})`, () =>
      Effect.gen(function* () {
        const machine = yield* MemoryHost.acquire(profile)
        yield* handOver(machine)
        const takenOver = Effect.gen(function* () {
          const session = yield* LiveUpdate.retrieve("two")
          return yield* session.retrieve(Memfd.Memfd, tokens.state)
        })
        yield* MemoryHost.twice(machine, takenOver, (file) =>
          Effect.gen(function* () {
            const session = yield* LiveUpdate.retrieve("two")
            const vmms = yield* Memfd.adopt({ pid: process.pid, fd: file.fd })
            const next = yield* LiveUpdate.create("next")
            const before = readdirSync("/proc/self/fd").length
            const error = yield* Effect.flip(next.preserve(vmms, tokens.ram))
            const holder = { session: "two", token: tokens.state, file: "state" }
            assert.deepInclude(error, { _tag: "ManagedUntilFinish", holder })
            // What was looked at is closed again, and the file itself is as good as before.
            assert.strictEqual(readdirSync("/proc/self/fd").length, before)
            const other = yield* Memfd.create({ name: "other", size: sizes.state })
            yield* next.preserve(other, tokens.state)
            yield* session.finish
            yield* next.preserve(vmms, tokens.ram)
          })
        )
      })
    )
})

describe("Handle.close", () => {
  it.effect("comes before the scope's end, once, and never closes what got the number later", () =>
    Effect.gen(function* () {
      const later = yield* Effect.scoped(
        Effect.gen(function* () {
          const memfd = yield* Memfd.create({ name: "early", size: 4096 })
          yield* Handle.close(memfd)
          assert.isFalse(isOpen(memfd.fd))
          // The kernel gives the lowest free number.
          const later = yield* Memfd.create({ name: "later", size: 4096 })
          assert.strictEqual(later.fd, memfd.fd)
          yield* Handle.close(memfd)
          assert.isTrue(isOpen(later.fd))
          return later
        })
      )
      assert.isFalse(isOpen(later.fd))
      yield* Handle.close(later)
    })
  )
})
