import { readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as GuestMemfd from "../src/GuestMemfd.ts"
import * as Iommufd from "../src/Iommufd.ts"
import type { SystemCalls } from "../src/internal/Kernel.ts"
import * as KvmVm from "../src/KvmVm.ts"
import type * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import * as Preservation from "../src/Preservation.ts"
import * as Token from "../src/Token.ts"
import * as VfioDevice from "../src/VfioDevice.ts"
import * as MemoryHost from "./MemoryHost.ts"
import { addressOf, copyOf, nothing, pciDevices, type State, steps } from "./ProgramSteps.ts"
import { announce, seed } from "./Seed.ts"

const PROGRAMS = 1000

const openDescriptors = () => readdirSync("/proc/self/fd").length

interface Line {
  readonly step: string
  readonly a: number
  readonly b: number
  /** Runs the lines after it in a scope of its own, as many as this says. */
  readonly nested: number
}

interface Program {
  readonly afterJump: boolean
  readonly lines: ReadonlyArray<Line>
  /** Goes on after a failed step. */
  readonly stubborn: boolean
  /** The how manieth system call fails, and at which the program is interrupted; none if there are fewer. */
  readonly failAt: number
  readonly errno: number
  readonly interruptAt: number
}

const line: FastCheck.Arbitrary<Line> = FastCheck.record({
  // A program's own end is the rarest step of all.
  step: FastCheck.oneof(
    {
      weight: 40,
      arbitrary: FastCheck.constantFrom(...Object.keys(steps).filter((name) => !/^(fail|die)$/.test(name)))
    },
    { weight: 1, arbitrary: FastCheck.constantFrom("fail", "die") }
  ),
  a: FastCheck.nat(9),
  b: FastCheck.nat(9),
  nested: FastCheck.oneof({ weight: 5, arbitrary: FastCheck.constant(0) }, { weight: 1, arbitrary: FastCheck.nat(6) })
})

type Brief = string | readonly [step: string, a: number, b: number]
const lines = (...briefs: ReadonlyArray<Brief>): ReadonlyArray<Line> =>
  briefs.map((brief) => {
    const [step, a, b] = typeof brief === "string" ? [brief, 0, 0] : brief
    return { step, a, b, nested: 0 }
  })

const start = lines(["create", 0, 0], ["create", 1, 0], ["create", 2, 0])
/** What chance alone would rarely come to: files of all kinds that know each other, preserved in their order, or as one. */
const devices: ReadonlyArray<Brief> = ["iommufd", "space", ["map", 0, 2], "bind", "attach", "vm", "memory"]
const openings = [
  lines(),
  lines(...devices),
  lines(
    ...devices,
    "session",
    ["preserve", 7, 0],
    ...[4, 3, 1, 2, 0].map((file) => ["preserveOther", file, file] as const)
  ),
  lines(...devices, ["open", 5, 1], "extend", "complete")
]
const openingsAfterJump = [lines("retrieve"), lines("retrieve", "restore", "rebind", "finish", "own")]

const program: FastCheck.Arbitrary<Program> = FastCheck.record({
  afterJump: FastCheck.boolean(),
  opening: FastCheck.constantFrom(...openings),
  openingAfterJump: FastCheck.constantFrom(...openingsAfterJump),
  lines: FastCheck.array(line, { minLength: 1, maxLength: 25 }),
  stubborn: FastCheck.boolean(),
  failAt: FastCheck.noBias(FastCheck.nat(150)),
  errno: FastCheck.constantFrom(4, 5, 12, 16, 22, 24),
  interruptAt: FastCheck.noBias(FastCheck.nat(100))
}).map(({ opening, openingAfterJump, ...one }) => ({
  ...one,
  lines: [...start, ...(one.afterJump ? openingAfterJump : []), ...opening, ...one.lines]
}))

/** Steps that did what they are for, in any of the programs. */
const worked = new Set<string>()

const run = (
  { lines, stubborn }: Pick<Program, "lines" | "stubborn">,
  state: State
): Effect.Effect<void, unknown, LiveUpdate.LiveUpdate | Scope.Scope> => {
  const [first, ...rest] = lines
  if (first === undefined) return Effect.void
  const { step, a, b, nested } = first
  const effect = Effect.tap(steps[step]?.(state, a, b) ?? Effect.void, () => void worked.add(step))
  const guarded = stubborn ? Effect.ignore(effect) : effect
  const inner = { stubborn, lines: rest.slice(0, nested) }
  const outer = { stubborn, lines: rest.slice(nested) }
  const within = nested === 0 ? Effect.void : Effect.suspend(() => Effect.scoped(run(inner, copyOf(state))))
  return guarded.pipe(
    Effect.zipRight(stubborn ? Effect.ignore(within) : within),
    Effect.zipRight(Effect.suspend(() => run(outer, state)))
  )
}

/** Closing is what is tested, and can't fail with a descriptor left open; a read of a text file answers no errno. */
const spared = new Set<PropertyKey>(["close", "closeAsync", "kexecLoaded", "readFile", "readLink", "readDirectory"])

const disturb =
  ({ failAt, errno, interruptAt }: Program, interrupt: () => void): MemoryHost.Change =>
  (calls) => {
    let count = 0
    return new Proxy<SystemCalls>(calls, {
      get: (target, name) => {
        const call: unknown = Reflect.get(target, name)
        if (typeof call !== "function" || spared.has(name)) return call
        return (...args: ReadonlyArray<unknown>): unknown => {
          count++
          if (count === interruptAt) interrupt()
          if (count === failAt) return /Async$|^madviseFile$/.test(String(name)) ? Promise.resolve(-errno) : -errno
          return Reflect.apply(call, target, args)
        }
      }
    })
  }

const carried = Effect.forEach(
  ["carried-0", "carried-1"],
  (session, index) =>
    Effect.gen(function* () {
      const ram = yield* Memfd.create({ name: "ram", size: 8192 })
      yield* Memfd.addSeals(ram, "seal", "grow", "shrink")
      const iommu = yield* Iommufd.open
      yield* Iommufd.map(yield* Iommufd.allocateIoas(iommu), { memfd: ram })
      const nic = yield* VfioDevice.bind(yield* VfioDevice.open({ address: addressOf(index) }), iommu)
      const vm = yield* KvmVm.create()
      const files = {
        ram: { file: ram, token: Token.make(1n) },
        state: { file: yield* Memfd.create({ name: "state", size: 4096 }), token: Token.make(2n) },
        iommu: { file: iommu, token: Token.make(3n) },
        nic: { file: nic, token: Token.make(4n) },
        vm: { file: vm, token: Token.make(5n) },
        memory: { file: yield* GuestMemfd.create(vm, { size: 8192 }), token: Token.make(6n) }
      }
      yield* Preservation.preserve({ session, files }, Schema.Null, null)
    }),
  { discard: true }
)

const outcomes = { succeeded: 0, failed: 0, interrupted: 0, died: 0 }

const runOnce = (one: Program) =>
  Effect.gen(function* () {
    const machine = yield* MemoryHost.acquire("handlers", pciDevices)
    if (one.afterJump) yield* MemoryHost.jumpAfter(machine, carried)
    let interrupt = () => {}
    const fiber = yield* run(one, nothing()).pipe(
      Effect.scoped,
      Effect.provide(
        MemoryHost.program(
          machine,
          disturb(one, () => interrupt())
        )
      ),
      Effect.fork
    )
    interrupt = () => void Effect.runFork(Fiber.interruptFork(fiber))
    const exit = yield* Fiber.await(fiber)
    if (Exit.isSuccess(exit)) outcomes.succeeded++
    else if (Exit.isInterrupted(exit)) outcomes.interrupted++
    else if (exit.cause._tag === "Die") outcomes.died++
    else outcomes.failed++
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None))

describe("descriptors", () => {
  it(`are all closed again after ${PROGRAMS} random programs with failures and interrupts`, {
    timeout: 300_000
  }, async () => {
    announce(`${PROGRAMS} random programs`)
    // What is opened once for all: the native library, the event loop's own.
    await Effect.runPromise(
      runOnce({ afterJump: true, lines: start, stubborn: true, failAt: 0, errno: 5, interruptAt: 0 })
    )
    const before = openDescriptors()
    await FastCheck.assert(
      FastCheck.asyncProperty(program, async (one) => {
        await Effect.runPromise(runOnce(one))
        assert.strictEqual(openDescriptors(), before)
      }),
      { seed, numRuns: PROGRAMS }
    )
    process.stdout.write(`${JSON.stringify(outcomes)}, ${openDescriptors() - before} descriptors left open\n`)
    for (const count of Object.values(outcomes)) assert.isAbove(count, 0)
    const never = Object.keys(steps).filter((step) => !worked.has(step))
    assert.deepStrictEqual(never, ["fail", "die"])
  })
})
