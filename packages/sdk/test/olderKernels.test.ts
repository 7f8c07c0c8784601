/**
 * Kernels before 7.1 preserve a file twice without a word, and 6.19 tells no names: there the SDK has to know itself. The kernel
 * here accepts everything; files, their identities and kcmp(2) are the running kernel's.
 */
import { closeSync, openSync, readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Custody from "../src/Custody.ts"
import type { Kind, Owned } from "../src/Handle.ts"
import { EINVAL, EMFILE, ENFILE, ENOSPC } from "../src/internal/errno.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import type { OutgoingSession } from "../src/Session.ts"
import * as Token from "../src/Token.ts"
import * as FakeHardware from "./FakeHardware.ts"

const [one, two] = [Token.make(1n), Token.make(2n)]

const older = (changes: FakeHardware.Hardware = {}) =>
  FakeHardware.make({
    devices: ["/dev/liveupdate"],
    ...changes,
    requests: {
      LIVEUPDATE_IOCTL_CREATE_SESSION: [400_001, 400_002, 400_003].map((fd) => ({ fields: { fd } })),
      LIVEUPDATE_SESSION_PRESERVE_FD: {},
      LIVEUPDATE_SESSION_GET_NAME: -EINVAL,
      ...changes.requests
    }
  })

const layer = LiveUpdate.layer.pipe(Layer.provide(Custody.layerMemory))

const on = <A, E, R>(fake: ReturnType<typeof older>, effect: Effect.Effect<A, E, R>) =>
  fake.run(Effect.provide(effect, layer))

const preserved = (fake: ReturnType<typeof older>) =>
  fake.seen.filter(({ macro }) => macro === "LIVEUPDATE_SESSION_PRESERVE_FD").length

/** A descriptor of a character device, which has no identity but its open file. */
const openNull = (kind: Exclude<Kind, "memfd">): Effect.Effect<Owned, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => openSync("/dev/null", "r")),
    (fd) => Effect.sync(() => closeSync(fd))
  ).pipe(Effect.map((fd) => ({ kind, custody: "owned", fd })))

const duplicate = (file: Owned): Effect.Effect<Owned, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => systemCalls.dup(file.fd)),
    (fd) => Effect.sync(() => closeSync(fd))
  ).pipe(Effect.map((fd) => ({ ...file, fd })))

/** The first session holds the file; neither it nor the second one takes it again, through whichever descriptor. */
const isGuarded = (fake: ReturnType<typeof older>, file: Owned, again: Owned) =>
  Effect.gen(function* () {
    const first = yield* LiveUpdate.create("first")
    const second = yield* LiveUpdate.create("second")
    yield* first.preserve(file, one)
    for (const [session, descriptor] of [
      [first, file],
      [first, again],
      [second, file],
      [second, again]
    ] as ReadonlyArray<[OutgoingSession, Owned]>) {
      const error = yield* Effect.flip(session.preserve(descriptor, two))
      assert.deepStrictEqual(error._tag === "AlreadyPreserved" ? error.holder : error, { session: "first", token: 1n })
    }
    assert.strictEqual(preserved(fake), 1)
    return second
  })

describe("a kernel without the guard", () => {
  it.scoped("a memfd is preserved once, whichever descriptor of it is given", () =>
    Effect.gen(function* () {
      const fake = older()
      const memfd = yield* Memfd.create({ name: "twice", size: 4096 })
      const again = yield* Memfd.adopt({ pid: process.pid, fd: memfd.fd })
      yield* on(fake, isGuarded(fake, memfd, again))
    })
  )

  for (const kind of ["iommufd", "vfio", "kvm_vm", "guest_memfd"] as const)
    it.scoped(
      `an open file of kind ${kind} is preserved once, and another open file of the same device is another one`,
      () =>
        Effect.gen(function* () {
          const fake = older()
          const file = yield* openNull(kind)
          const other = yield* openNull(kind)
          yield* on(
            fake,
            Effect.gen(function* () {
              const session = yield* isGuarded(fake, file, yield* duplicate(file))
              yield* session.preserve(other, one)
            })
          )
          assert.strictEqual(preserved(fake), 2)
        })
    )

  it.scoped("the guard outlives the caller's descriptor, and ends with the session", () =>
    Effect.gen(function* () {
      const fake = older()
      const before = readdirSync("/proc/self/fd").length
      yield* on(
        fake,
        Effect.gen(function* () {
          const again = yield* Effect.scoped(
            Effect.gen(function* () {
              const session = yield* LiveUpdate.create("first")
              const duplicated = yield* Effect.scoped(
                Effect.gen(function* () {
                  const file = yield* openNull("vfio")
                  const kept = systemCalls.dup(file.fd)
                  yield* session.preserve(file, one)
                  return { ...file, fd: kept }
                })
              )
              const error = yield* Effect.flip(session.preserve(duplicated, two))
              assert.strictEqual(error._tag, "AlreadyPreserved")
              return duplicated
            })
          )
          const session = yield* LiveUpdate.create("second")
          yield* session.preserve(again, one)
          yield* Effect.sync(() => closeSync(again.fd))
        }).pipe(Effect.scoped)
      )
      assert.strictEqual(readdirSync("/proc/self/fd").length, before)
    })
  )

  it.scoped("a file that the kernel refused may be tried again", () =>
    Effect.gen(function* () {
      const fake = older({ requests: { LIVEUPDATE_SESSION_PRESERVE_FD: [-ENOSPC, {}] } })
      const file = yield* openNull("vfio")
      yield* on(
        fake,
        Effect.gen(function* () {
          const session = yield* LiveUpdate.create("first")
          const error = yield* Effect.flip(session.preserve(file, one))
          assert.strictEqual(error._tag === "LimitReached" ? error.limit : error._tag, "files")
          yield* session.preserve(file, one)
        })
      )
    })
  )

  it.scoped("a file that can't be remembered is not preserved", () =>
    Effect.gen(function* () {
      const fake = older({ overrides: { dup: () => -EMFILE } })
      const file = yield* openNull("vfio")
      const error = yield* on(
        fake,
        Effect.flatMap(LiveUpdate.create("first"), (session) => Effect.flip(session.preserve(file, one)))
      )
      assert.strictEqual(error._tag === "LimitReached" ? error.limit : error._tag, "descriptors")
      assert.strictEqual(preserved(fake), 0)
    })
  )
})

describe("a session's name", () => {
  it.scoped("is the kernel's where it can be asked, and the known one where it can't", () =>
    Effect.gen(function* () {
      const askName = Effect.flatMap(LiveUpdate.create("vm-1"), (session) => session.askName)
      assert.strictEqual(yield* on(older(), askName), "vm-1")
      const newer = older({ requests: { LIVEUPDATE_SESSION_GET_NAME: { fields: { name: "the kernel's" } } } })
      assert.strictEqual(yield* on(newer, askName), "the kernel's")
    })
  )
})

describe("limits", () => {
  for (const [what, changes, limit] of [
    ["this process's descriptors", { overrides: { openFile: () => -EMFILE } }, "descriptors"],
    ["the host's descriptors", { requests: { LIVEUPDATE_IOCTL_CREATE_SESSION: -ENFILE } }, "descriptors"],
    ["room for sessions", { requests: { LIVEUPDATE_IOCTL_CREATE_SESSION: -ENOSPC } }, "sessions"]
  ] as const)
    it.scoped(`${what}: LimitReached says which`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(on(older(changes), LiveUpdate.create("vm-1")))
        assert.strictEqual(error._tag === "LimitReached" ? error.limit : error._tag, limit)
      })
    )
})
