import { assert, describe, it } from "@effect/vitest"
import { Kexec, LiveUpdate, LiveUpdateError, Memfd, type SimulatedHost, Token } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { handlers, type Outcome, settle } from "../src/EveryError.ts"

const host = (options?: SimulatedHost.Options) =>
  Kexec.layerMemory.pipe(Layer.provideMerge(LiveUpdate.layerMemory(options)))

const failing = Effect.fail<LiveUpdateError.LiveUpdateError>(
  new LiveUpdateError.DeviceBusy({ operation: "device.open", errno: "EBUSY" })
)

/** One of each, with every field that any of them has. */
const one = (tag: string) =>
  Schema.decodeUnknownSync(LiveUpdateError.LiveUpdateError)({
    _tag: tag,
    operation: "session.preserve",
    errno: "EBUSY",
    session: "vm-1",
    token: "1",
    kind: "memfd",
    holder: { session: "vm-2", token: "7" },
    limit: "memory",
    number: 16,
    reasons: ["linked"]
  })

const tags = LiveUpdateError.LiveUpdateError.members.map((member) => member._tag)

describe("every error", () => {
  it("has a handler, and there is none for what is no error", () => {
    assert.deepStrictEqual(Object.keys(handlers).sort(), [...tags].sort())
  })

  it.effect.each(tags)("%s comes to a decision that says why", (tag) =>
    Effect.gen(function* () {
      const outcome = yield* settle(Effect.fail(one(tag)))
      assert.notStrictEqual(outcome.do, "go on")
      assert.match(outcome.do === "go on" ? "" : outcome.because, /\w/)
    })
  )

  it("without one of the handlers it does not compile", () => {
    const { DeviceBusy: _, ...incomplete } = handlers
    // @ts-expect-error DeviceBusy is left over
    const wrong: Effect.Effect<unknown, never> = Effect.catchTags(failing, incomplete)
    const right: Effect.Effect<unknown, never> = Effect.catchTags(failing, handlers)
    assert.notStrictEqual(wrong, right)
  })

  it.effect("a program that succeeds goes on", () =>
    Effect.map(settle(Effect.succeed(3)), (outcome) => assert.deepStrictEqual(outcome, { do: "go on", value: 3 }))
  )
})

describe("every error, from a kernel", () => {
  const ram = Memfd.create({ name: "ram", size: 8192 })
  const load = Kexec.load({ kernel: "/boot/vmlinuz-7.3.5", commandLine: "liveupdate=on" })

  const doubled = Effect.gen(function* () {
    const memfd = yield* ram
    yield* (yield* LiveUpdate.create("vm-1")).preserve(memfd, Token.make(1n))
    yield* (yield* LiveUpdate.create("vm-2")).preserve(memfd, Token.make(1n))
  })

  const jump = Effect.gen(function* () {
    const memfd = yield* ram
    yield* load
    yield* (yield* LiveUpdate.create("vm-1")).preserve(memfd, Token.make(1n))
    return yield* Kexec.jump
  })

  interface Case {
    readonly name: string
    readonly program: Effect.Effect<
      unknown,
      LiveUpdateError.LiveUpdateError,
      Scope.Scope | LiveUpdate.LiveUpdate | Kexec.Kexec
    >
    readonly faults?: SimulatedHost.Faults
    readonly deed: Outcome<never>["do"]
    readonly tag: LiveUpdateError.LiveUpdateError["_tag"]
  }

  const cases: ReadonlyArray<Case> = [
    {
      name: "nothing was handed over",
      program: LiveUpdate.retrieve("vm-1"),
      deed: "call the operator",
      tag: "SessionNotFound"
    },
    {
      name: "the device is busy",
      program: LiveUpdate.create("vm-1"),
      faults: { open: () => "EBUSY" },
      deed: "retry",
      tag: "DeviceBusy"
    },
    {
      name: "no device",
      program: LiveUpdate.create("vm-1"),
      faults: { open: () => "ENOENT" },
      deed: "refuse",
      tag: "DeviceMissing"
    },
    {
      name: "an unreadable handover",
      program: LiveUpdate.probe,
      faults: { open: () => "EIO" },
      deed: "call the operator",
      tag: "HandoverUnreadable"
    },
    { name: "no image", program: Kexec.jump, deed: "report a bug", tag: "KexecNotLoaded" },
    { name: "a file twice", program: doubled, deed: "report a bug", tag: "AlreadyPreserved" },
    {
      name: "a handler that refuses",
      program: doubled,
      faults: { preserve: () => "EIO" },
      deed: "refuse",
      tag: "PreserveRefused"
    },
    {
      name: "a file that does not freeze",
      program: jump,
      faults: { freeze: () => "EIO" },
      deed: "refuse",
      tag: "FreezeFailed"
    }
  ]

  it.effect.each(cases)("$name", ({ program, faults = {}, deed, tag }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(program))
      assert.strictEqual(error._tag, tag)
      assert.strictEqual((yield* settle(Effect.fail(error))).do, deed)
    }).pipe(Effect.provide(host({ faults })))
  )
})
