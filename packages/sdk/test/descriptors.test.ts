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
import * as Handle from "../src/Handle.ts"
import type { SystemCalls } from "../src/internal/Kernel.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import * as Memfd from "../src/Memfd.ts"
import * as Preservation from "../src/Preservation.ts"
import type { Finished, IncomingSession, OutgoingSession } from "../src/Session.ts"
import * as Token from "../src/Token.ts"
import * as MemoryHost from "./MemoryHost.ts"
import { announce, seed } from "./Seed.ts"

const PROGRAMS = 1000

const openDescriptors = () => readdirSync("/proc/self/fd").length

/** What a program has in hand. */
interface State {
  readonly memfds: Array<Memfd.Memfd>
  readonly managed: Array<Memfd.Managed>
  readonly outgoing: Array<OutgoingSession>
  readonly incoming: Array<IncomingSession>
  readonly finished: Array<Finished>
  readonly preservations: Array<Preservation.Preservation>
}

type Step = (state: State, a: number, b: number) => Effect.Effect<void, unknown, LiveUpdate.LiveUpdate | Scope.Scope>

const pick = <A>(from: ReadonlyArray<A>, index: number): Effect.Effect<A, "nothing there"> => {
  const found = from[index % Math.max(1, from.length)]
  return found === undefined ? Effect.fail("nothing there" as const) : Effect.succeed(found)
}

const keep = <A, E, R>(into: Array<A>, effect: Effect.Effect<A, E, R>) =>
  Effect.map(effect, (value) => void into.push(value))

/** Over a mebibyte: preserved on another thread. */
const sizes = [0, 4096, (1 << 20) + 4096]

const filesOf = (state: State, a: number, b: number): Preservation.Files =>
  Object.fromEntries(
    state.memfds
      .slice(a % 3, (a % 3) + 1 + (b % 3))
      .map((file, index) => [
        `f${a}-${index}`,
        { file, token: Token.make(BigInt(a * 10 + index)), ...(b % 5 === 0 ? { dependsOn: [`f${a}-0`] } : {}) }
      ])
  )

const steps: Readonly<Record<string, Step>> = {
  create: ({ memfds }, a) => keep(memfds, Memfd.create({ name: "file", size: sizes[a % sizes.length] ?? 0 })),
  adopt: ({ memfds }, a) =>
    Effect.flatMap(pick(memfds, a), ({ fd }) => keep(memfds, Memfd.adopt({ pid: process.pid, fd }))),
  resize: ({ memfds }, a, b) => Effect.flatMap(pick(memfds, a), (memfd) => Memfd.resize(memfd, b * 4096)),
  close: ({ memfds }, a) => Effect.flatMap(pick(memfds, a), Handle.close),
  session: ({ outgoing }, a) => keep(outgoing, LiveUpdate.create(`session-${a % 3}`)),
  preserve: ({ memfds, outgoing }, a, b) =>
    Effect.flatMap(Effect.all([pick(outgoing, a), pick(memfds, b)]), ([session, memfd]) =>
      session.preserve(memfd, Token.make(BigInt(a)))
    ),
  open: (state, a, b) =>
    keep(state.preservations, Preservation.open({ session: `open-${a % 3}`, files: filesOf(state, a, b) })),
  openAll: (state, a, b) =>
    Effect.map(
      Preservation.openAll([
        { session: `open-${a % 3}`, files: filesOf(state, a, 0) },
        { session: `open-${b % 3}`, files: filesOf(state, a + 1, 0) }
      ]),
      (all) => void state.preservations.push(...all)
    ),
  extend: (state, a, b) => Effect.flatMap(pick(state.preservations, a), (one) => one.extend(filesOf(state, a + 10, b))),
  complete: ({ preservations }, a) => Effect.flatMap(pick(preservations, a), (one) => one.complete(Schema.Null, null)),
  retrieve: ({ incoming }, a) => keep(incoming, LiveUpdate.retrieve(`carried-${a % 2}`)),
  retrieveFile: ({ incoming, managed }, a, b) =>
    Effect.flatMap(pick(incoming, a), (one) => keep(managed, one.retrieve(Memfd.Memfd, Token.make(BigInt(b % 4))))),
  restore: ({ incoming, managed }, a) =>
    Effect.flatMap(pick(incoming, a), (one) =>
      Effect.map(
        Preservation.restore(one, Schema.Null, { ram: Memfd.Memfd, state: Memfd.Memfd }),
        ({ files }) => void managed.push(files.ram, files.state)
      )
    ),
  finish: ({ finished, incoming }, a) => Effect.flatMap(pick(incoming, a), (one) => keep(finished, one.finish)),
  own: ({ finished, managed, memfds }, a, b) =>
    Effect.flatMap(Effect.all([pick(finished, a), pick(managed, b)]), ([end, handle]) => keep(memfds, end.own(handle))),
  adoptManaged: ({ managed, memfds }, a) =>
    Effect.flatMap(pick(managed, a), ({ fd }) => keep(memfds, Memfd.adopt({ pid: process.pid, fd }))),
  fail: () => Effect.fail("the program's own failure"),
  die: () => Effect.die("the program's own defect")
}

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

const start: ReadonlyArray<Line> = [0, 1, 2].map((a) => ({ step: "create", a, b: 0, nested: 0 }))
const retrieval: ReadonlyArray<Line> = [{ step: "retrieve", a: 0, b: 0, nested: 0 }]

const program: FastCheck.Arbitrary<Program> = FastCheck.record({
  afterJump: FastCheck.boolean(),
  lines: FastCheck.array(line, { minLength: 1, maxLength: 25 }),
  stubborn: FastCheck.boolean(),
  failAt: FastCheck.noBias(FastCheck.nat(150)),
  errno: FastCheck.constantFrom(4, 5, 12, 16, 22, 24),
  interruptAt: FastCheck.noBias(FastCheck.nat(100))
}).map((one) => ({ ...one, lines: [...start, ...(one.afterJump ? retrieval : []), ...one.lines] }))

const run = (
  { lines, stubborn }: Pick<Program, "lines" | "stubborn">,
  state: State
): Effect.Effect<void, unknown, LiveUpdate.LiveUpdate | Scope.Scope> => {
  const [first, ...rest] = lines
  if (first === undefined) return Effect.void
  const { step, a, b, nested } = first
  const effect = steps[step]?.(state, a, b) ?? Effect.void
  const guarded = stubborn ? Effect.ignore(effect) : effect
  const inner = { stubborn, lines: rest.slice(0, nested) }
  const outer = { stubborn, lines: rest.slice(nested) }
  // Handles of the inner scope are no more when it ends.
  const copy = () => ({
    memfds: [...state.memfds],
    managed: [...state.managed],
    outgoing: [...state.outgoing],
    incoming: [...state.incoming],
    finished: [...state.finished],
    preservations: [...state.preservations]
  })
  const within = nested === 0 ? Effect.void : Effect.suspend(() => Effect.scoped(run(inner, copy())))
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
  (session) =>
    Effect.gen(function* () {
      const files = {
        ram: { file: yield* Memfd.create({ name: "ram", size: 8192 }), token: Token.make(1n) },
        state: { file: yield* Memfd.create({ name: "state", size: 4096 }), token: Token.make(2n) }
      }
      yield* Preservation.preserve({ session, files }, Schema.Null, null)
    }),
  { discard: true }
)

const outcomes = { succeeded: 0, failed: 0, interrupted: 0, died: 0 }

const runOnce = (one: Program) =>
  Effect.gen(function* () {
    const machine = yield* MemoryHost.acquire()
    if (one.afterJump) yield* MemoryHost.jumpAfter(machine, carried)
    let interrupt = () => {}
    const state: State = { memfds: [], managed: [], outgoing: [], incoming: [], finished: [], preservations: [] }
    const fiber = yield* run(one, state).pipe(
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
  })
})
