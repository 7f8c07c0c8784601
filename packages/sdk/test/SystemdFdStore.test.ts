import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Custody, layerMemory } from "../src/Custody.ts"
import * as FdName from "../src/internal/fdName.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as Memfd from "../src/Memfd.ts"
import * as SystemdFdStore from "../src/SystemdFdStore.ts"
import { listening } from "./Datagrams.ts"

interface Notification {
  readonly lines: ReadonlyArray<string>
  readonly files: ReadonlyArray<number>
}

const scopedFd = (open: () => number) =>
  Effect.acquireRelease(Effect.sync(open), (fd) => Effect.sync(() => systemCalls.close(fd)))

/** Stands in systemd's place: receives what is sent to NOTIFY_SOCKET, descriptors included. */
const fakeSystemd = Effect.map(listening({}), ({ path, next, close }) => ({
  environment: { NOTIFY_SOCKET: path, FDSTORE: "2" },
  next: Effect.map(next, ({ text, files }): Notification => ({ lines: text.split("\n"), files })),
  close
}))

const isSameFile = (one: number, other: number) => Fs.fstatSync(one).ino === Fs.fstatSync(other).ino

describe("SystemdFdStore", { timeout: 60_000 }, () => {
  it.scopedLive("stores a descriptor under the session's name, and waits until systemd has it", () =>
    Effect.gen(function* () {
      const systemd = yield* fakeSystemd
      yield* Effect.gen(function* () {
        const custody = yield* Custody
        const memfd = yield* Memfd.create({ name: "held", size: 4096 })
        const deposit = yield* custody.prepare("vm:1")
        assert.isUndefined(deposit.hold(memfd.fd))
        const stored = yield* systemd.next
        assert.deepStrictEqual(stored.lines, ["FDSTORE=1", "FDNAME=liveupdate-session-vm%3a1", "FDPOLL=0"])
        assert.isTrue(isSameFile(stored.files[0] ?? -1, memfd.fd))

        const settled = yield* Effect.fork(deposit.settled)
        const barrier = yield* systemd.next
        assert.deepStrictEqual(barrier.lines, ["BARRIER=1"])
        assert.strictEqual(barrier.files.length, 1)
        assert.isNull(yield* Fiber.poll(settled).pipe(Effect.map((exit) => (exit._tag === "None" ? null : exit))))
        systemd.close(barrier.files[0] ?? -1)
        yield* Fiber.join(settled)

        assert.deepStrictEqual(yield* custody.list, [{ session: "vm:1", holder: "systemd", pid: 1 }])
        yield* custody.release("vm:1")
        assert.deepStrictEqual((yield* systemd.next).lines, ["FDSTOREREMOVE=1", "FDNAME=liveupdate-session-vm%3a1"])
        assert.deepStrictEqual(yield* custody.list, [])
      }).pipe(Effect.provide(SystemdFdStore.layer({ environment: systemd.environment })))
    })
  )

  it.scopedLive("gives back what comes with the next start, as often as it is asked for", () =>
    Effect.gen(function* () {
      const memfd = yield* Memfd.create({ name: "stored", size: 4096 })
      // The layer takes over what systemd passes.
      const passed = systemCalls.dup(memfd.fd)
      const environment = {
        LISTEN_PID: String(process.pid),
        LISTEN_FDS: "1",
        LISTEN_FDNAMES: FdName.encode("vm-1"),
        NOTIFY_SOCKET: "/no/such/socket"
      }
      const claimed = (options: SystemdFdStore.Options, session: string) =>
        Effect.flatMap(Custody, (custody) => custody.claim(session)).pipe(
          Effect.provide(SystemdFdStore.layer({ firstDescriptor: passed, ...options }))
        )
      for (let time = 0; time < 2; time++) {
        const fd = yield* scopedFd(() => Effect.runSync(claimed({ environment }, "vm-1")) ?? -1)
        assert.isTrue(isSameFile(fd, memfd.fd))
      }
      assert.isUndefined(yield* claimed({ environment }, "vm-2"))
      const others = { ...environment, LISTEN_PID: String(process.pid + 1) }
      assert.isUndefined(yield* claimed({ environment: others }, "vm-1"))
      systemCalls.close(passed)
    })
  )

  it.scopedLive("keeps a duplicate here: a session that was left can be taken up before the next start", () =>
    Effect.gen(function* () {
      const systemd = yield* fakeSystemd
      yield* Effect.gen(function* () {
        const custody = yield* Custody
        const inode = yield* Effect.scoped(
          Effect.gen(function* () {
            const memfd = yield* Memfd.create({ name: "left", size: 4096 })
            const confirmed = yield* Effect.fork(custody.confirm("left", memfd.fd))
            yield* systemd.next
            systemd.close((yield* systemd.next).files[0] ?? -1)
            yield* Fiber.join(confirmed)
            return Fs.fstatSync(memfd.fd).ino
          })
        )
        const fd = yield* Effect.acquireRelease(custody.claim("left"), (fd) =>
          Effect.sync(() => fd !== undefined && systemCalls.close(fd))
        )
        assert.strictEqual(Fs.fstatSync(fd ?? -1).ino, inode)
        yield* custody.release("left")
      }).pipe(Effect.provide(SystemdFdStore.layer({ environment: systemd.environment })))
    })
  )

  it.scopedLive("says so when nobody is there, when systemd keeps silent, and when its store is full", () =>
    Effect.gen(function* () {
      const systemd = yield* fakeSystemd
      const memfd = yield* Memfd.create({ name: "held", size: 4096 })
      const nobody = yield* Effect.flatMap(Custody, (custody) => Effect.flip(custody.prepare("vm-1"))).pipe(
        Effect.scoped,
        Effect.provide(SystemdFdStore.layer({ environment: { NOTIFY_SOCKET: "/no/such/socket", FDSTORE: "1" } }))
      )
      assert.include(nobody.message, "ENOENT")
      yield* Effect.gen(function* () {
        const custody = yield* Custody
        const silent = yield* Effect.flip(custody.confirm("vm-1", memfd.fd))
        assert.include(silent.message, "doesn't say that it has it")
        const hold = (session: string) =>
          Effect.scoped(Effect.map(custody.prepare(session), (deposit) => deposit.hold(memfd.fd)?.message))
        assert.isUndefined(yield* hold("vm-2"))
        assert.include(yield* hold("vm-3"), "FileDescriptorStoreMax=2 is used up")
        for (const session of ["vm-1", "vm-2", "vm-3"]) yield* custody.release(session)
      }).pipe(Effect.provide(SystemdFdStore.layer({ environment: systemd.environment })))
    })
  )

  /** What another holds, by the name of its session. */
  const another = (held: Map<string, number>) =>
    Layer.succeed(Custody, {
      prepare: (session) =>
        Effect.succeed({
          hold: (fd) => {
            held.set(session, Fs.fstatSync(fd).ino)
            return undefined
          },
          settled: Effect.void
        }),
      confirm: () => Effect.void,
      claim: () => Effect.succeed(undefined),
      release: () => Effect.void,
      list: Effect.sync(() =>
        [...held.keys()].map((session) => ({ session, holder: "keeper" as const, pid: process.pid }))
      )
    })

  it.scopedLive(
    "passes on what systemd has passed: to who claims it, and the rest at the end; the store forgets both",
    () =>
      Effect.gen(function* () {
        const systemd = yield* fakeSystemd
        const memfd = yield* Memfd.create({ name: "passed", size: 4096 })
        const { ino } = Fs.fstatSync(memfd.fd)
        const first = systemCalls.dup(memfd.fd)
        const second = systemCalls.dup(memfd.fd)
        assert.strictEqual(second, first + 1)
        const held = new Map<string, number>()
        const environment = {
          ...systemd.environment,
          LISTEN_PID: String(process.ppid),
          LISTEN_FDS: "2",
          LISTEN_FDNAMES: ["claimed", "left"].map(FdName.encode).join(":")
        }
        yield* Effect.gen(function* () {
          const custody = yield* Custody
          assert.deepStrictEqual(
            (yield* custody.list).map(({ session, holder }) => [session, holder]),
            [
              ["claimed", "systemd"],
              ["left", "systemd"]
            ]
          )
          const fd = yield* scopedFd(() => Effect.runSync(custody.claim("claimed")) ?? -1)
          assert.strictEqual(Fs.fstatSync(fd).ino, ino)
          assert.deepStrictEqual([...held], [["claimed", ino]])
          assert.deepStrictEqual((yield* systemd.next).lines, ["FDSTOREREMOVE=1", "FDNAME=liveupdate-session-claimed"])
          assert.isUndefined(yield* custody.claim("unknown"))
        }).pipe(
          Effect.provide(
            SystemdFdStore.layerPassing(another(held), { environment, firstDescriptor: first, ofParent: true })
          )
        )
        assert.deepStrictEqual([...held.keys()], ["claimed", "left"])
        assert.deepStrictEqual((yield* systemd.next).lines, ["FDSTOREREMOVE=1", "FDNAME=liveupdate-session-left"])
      })
  )

  it.effect("is chosen where systemd offers it, and only there", () =>
    Effect.gen(function* () {
      const holder = (environment: Readonly<Record<string, string>>) =>
        Effect.gen(function* () {
          const custody = yield* Custody
          const passed = yield* custody.list
          return passed.length
        }).pipe(
          Effect.provide(
            SystemdFdStore.layerOr(layerMemory, {
              environment: {
                ...environment,
                LISTEN_PID: String(process.pid),
                LISTEN_FDS: "1",
                LISTEN_FDNAMES: FdName.encode("vm-1")
              }
            })
          )
        )
      assert.strictEqual(yield* holder({ NOTIFY_SOCKET: "/run/notify", FDSTORE: "4" }), 1)
      assert.strictEqual(yield* holder({ NOTIFY_SOCKET: "/run/notify" }), 0)
      assert.strictEqual(yield* holder({ FDSTORE: "4" }), 0)
    })
  )
})

describe("a session's name as a descriptor's", () => {
  it("comes back as it was, and is one that systemd takes", () => {
    fc.assert(
      fc.property(
        fc
          .string({ minLength: 1, maxLength: 30, unit: "grapheme" })
          .filter((text) => Buffer.byteLength(text, "utf8") <= 63 && !text.includes("\0")),
        (session) => {
          const name = FdName.encode(session)
          assert.match(name, /^[!-9;-~]{1,255}$/)
          assert.strictEqual(FdName.decode(name), session)
        }
      )
    )
    assert.strictEqual(FdName.encode("vm 1/ü:\n").length <= 255, true)
    assert.isAtMost(FdName.encode("\u{1f600}".repeat(15)).length, 255)
  })

  it("is nobody's session when somebody else has given it", () => {
    for (const name of [
      "stored",
      "",
      "liveupdate-session-",
      "liveupdate-session-%zz",
      "liveupdate-session-%ff%fe",
      "liveupdate-session-%00"
    ])
      assert.isUndefined(FdName.decode(name))
  })
})
