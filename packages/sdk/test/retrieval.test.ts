import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { Custody, HolderSilent, HoldFailed } from "../src/Custody.ts"
import * as ioctl from "../src/internal/ioctl.ts"
import { Kernel, type SystemCalls } from "../src/internal/Kernel.ts"
import { systemCalls } from "../src/internal/libc.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"

// What stands between a retrieved session and its loss, in the order in which it happens. The kernel and the custody note what they
// are asked; a memfd stands for the session.

interface World {
  readonly events: Array<string>
  readonly logged: Array<string>
  /** Descriptors of the session that were given out. */
  readonly given: Array<number>
}

interface Faults {
  readonly prepare?: boolean
  readonly hold?: boolean
  readonly settled?: boolean
  readonly confirm?: boolean
  readonly claim?: "nobody" | "silent"
  readonly alreadyRetrieved?: boolean
}

const isOpen = (fd: number | undefined): boolean => Fs.existsSync(`/proc/self/fd/${fd}`)

const kernel = ({ events, given }: World, faults: Faults): SystemCalls => ({
  ...systemCalls,
  openFile: () => {
    events.push("open")
    return systemCalls.memfdCreate("device", 1)
  },
  ioctl: (_fd, _request, argument) => {
    events.push("retrieve")
    if (faults.alreadyRetrieved === true) return -22
    const fd = systemCalls.memfdCreate("session", 1)
    given.push(fd)
    argument.writeInt32LE(fd, 4)
    return 0
  },
  ioctlAsync: (_fd, request) => {
    events.push(request === ioctl.FINISH ? "finish" : "other")
    return Promise.resolve(0)
  }
})

const custody = ({ events, given }: World, faults: Faults) =>
  Layer.succeed(Custody, {
    prepare: (session) =>
      Effect.suspend(() => {
        events.push("prepare")
        const failed = new HoldFailed({ session, reason: "the test wants it so" })
        return faults.prepare === true
          ? Effect.fail(failed)
          : Effect.succeed({
              hold: (fd: number) => {
                events.push(`hold ${given.indexOf(fd)}`)
                return faults.hold === true ? failed : undefined
              },
              settled: Effect.suspend(() => {
                events.push("settled")
                return faults.settled === true ? Effect.fail(failed) : Effect.void
              })
            })
      }),
    confirm: (session, fd) =>
      Effect.suspend(() => {
        events.push(`confirm ${given.indexOf(fd)} ${isOpen(fd) ? "open" : "closed"}`)
        return faults.confirm === true
          ? Effect.fail(new HoldFailed({ session, reason: "the test wants it so" }))
          : Effect.void
      }),
    claim: () =>
      Effect.suspend(() => {
        events.push("claim")
        if (faults.claim === "silent") return Effect.fail(new HolderSilent({ holder: "keeper", reason: "silence" }))
        if (faults.claim === "nobody") return Effect.succeed(undefined)
        const fd = systemCalls.memfdCreate("session", 1)
        given.push(fd)
        return Effect.succeed(fd)
      }),
    release: () => Effect.sync(() => void events.push("release")),
    list: Effect.succeed([])
  })

const retrieving = <A, E>(faults: Faults, use: Effect.Effect<A, E, LiveUpdate.LiveUpdate>) =>
  Effect.gen(function* () {
    const world: World = { events: [], logged: [], given: [] }
    yield* Effect.addFinalizer(() => Effect.sync(() => world.given.filter(isOpen).forEach(systemCalls.close)))
    const logger = Logger.make(({ logLevel, message }) => {
      if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) world.logged.push(`${logLevel.label}: ${message}`)
    })
    const result = yield* use.pipe(
      Effect.either,
      Effect.provide(LiveUpdate.layer.pipe(Layer.provide(custody(world, faults)))),
      Effect.provideService(Kernel, kernel(world, faults)),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    return { ...world, result }
  })

const retrieved = Effect.scoped(Effect.asVoid(LiveUpdate.retrieve("vm-1")))
const finished = Effect.scoped(Effect.flatMap(LiveUpdate.retrieve("vm-1"), (session) => session.finish))

describe("a retrieved session", () => {
  it.scoped("is held in the same breath, released when it is finished, and closed after that", () =>
    Effect.gen(function* () {
      const { events, given, logged } = yield* retrieving({}, finished)
      assert.deepStrictEqual(events, ["prepare", "open", "retrieve", "hold 0", "settled", "finish", "release"])
      assert.isFalse(isOpen(given[0]))
      assert.deepStrictEqual(logged, [])
    })
  )

  it.scoped("that is left unfinished is closed only when somebody else has said to hold it", () =>
    Effect.gen(function* () {
      const { events, given, logged } = yield* retrieving({}, retrieved)
      assert.deepStrictEqual(events.slice(-1), ["confirm 0 open"])
      assert.isFalse(isOpen(given[0]))
      assert.strictEqual(logged.length, 1)
      assert.include(logged[0], 'WARN: Session "vm-1" is not finished')
    })
  )

  it.scoped("is kept by an interrupt and by a defect as by an error", () =>
    Effect.gen(function* () {
      for (const end of [Effect.interrupt, Effect.die("a bug"), Effect.fail("an error")]) {
        const left = Effect.exit(Effect.scoped(Effect.zipRight(LiveUpdate.retrieve("vm-1"), end)))
        const { events, given } = yield* retrieving({}, left)
        assert.deepStrictEqual(events.slice(-1), ["confirm 0 open"])
        assert.isFalse(isOpen(given[0]))
      }
    })
  )

  it.scoped("that nobody else holds stays open here, and that is said", () =>
    Effect.gen(function* () {
      for (const fault of ["prepare", "hold", "settled"] as const) {
        const { given, logged, result } = yield* retrieving({ [fault]: true, confirm: true }, retrieved)
        assert.strictEqual(result._tag, "Right")
        assert.isTrue(isOpen(given[0]))
        assert.strictEqual(logged.length, 2)
        for (const line of logged) assert.match(line, /^FATAL: Nobody holds session "vm-1" but this process/)
      }
    })
  )

  it.scoped("that couldn't be held may be held later: then it is closed", () =>
    Effect.gen(function* () {
      const { events, given } = yield* retrieving({ prepare: true }, retrieved)
      assert.deepStrictEqual(events, ["prepare", "open", "retrieve", "confirm 0 open"])
      assert.isFalse(isOpen(given[0]))
    })
  )

  it.scoped("comes from who holds it when the kernel has given it out before", () =>
    Effect.gen(function* () {
      const held = yield* retrieving({ alreadyRetrieved: true }, finished)
      assert.deepStrictEqual(held.events, ["prepare", "open", "retrieve", "claim", "finish", "release"])
      assert.isFalse(isOpen(held.given[0]))
      const nobody = yield* retrieving({ alreadyRetrieved: true, claim: "nobody" }, retrieved)
      assert.isTrue(nobody.result._tag === "Left" && nobody.result.left._tag === "SessionAlreadyRetrieved")
      assert.deepStrictEqual(nobody.logged, [])
      const silent = yield* retrieving({ alreadyRetrieved: true, claim: "silent" }, retrieved)
      assert.isTrue(silent.result._tag === "Left" && silent.result.left._tag === "SessionAlreadyRetrieved")
      assert.match(silent.logged[0] ?? "", /^FATAL: The keeper does not say what it holds: silence/)
    })
  )
})
