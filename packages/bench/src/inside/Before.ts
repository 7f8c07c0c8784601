/**
 * What can be measured without a jump.
 */
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Token from "@liveupdate/sdk/Token"
import * as Effect from "effect/Effect"
import type { Plan } from "../Plan.ts"
import * as Memory from "./Memory.ts"
import * as Rounds from "./Rounds.ts"

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)

const withSum = (times: Rounds.Times): Rounds.Times => ({
  ...times,
  "": Object.values(times).reduce((sum, one) => sum + one, 0)
})

const sessions = (program: string, plan: Plan) => {
  const names = numbers(plan.sessions).map((index) => `bench-${index}`)
  return Rounds.run({
    rounds: plan.rounds,
    prefix: "sessions",
    amount: plan.sessions,
    c: () => Effect.map(Rounds.c(program, ["sessions", String(plan.sessions)]), withSum),
    sdk: () =>
      Effect.map(Rounds.timeScoped(Effect.forEach(names, LiveUpdate.create, { discard: true })), ({ end, work }) =>
        withSum({ create: work, close: end })
      )
  })
}

const files = (program: string, plan: Plan) => Effect.zipRight(Memory.allow("small-folios"), smallFiles(program, plan))

const smallFiles = (program: string, plan: Plan) =>
  Rounds.run({
    rounds: plan.rounds,
    prefix: "files",
    amount: plan.files,
    c: () => Rounds.c(program, ["files", String(plan.files)]),
    sdk: () =>
      Effect.scoped(
        Effect.gen(function* () {
          const all = yield* Effect.forEach(numbers(plan.files), () => Memory.smallFile)
          return yield* preserving(all)
        })
      )
  })

const preserving = (files: ReadonlyArray<Memfd.Memfd>) =>
  Effect.gen(function* () {
    const { end, result } = yield* Rounds.timeScoped(
      Effect.flatMap(LiveUpdate.create("bench"), (session) =>
        Rounds.time(
          Effect.forEach(files, (file, index) => session.preserve(file, Token.make(BigInt(index + 1))), {
            discard: true
          })
        )
      )
    )
    return { preserve: result[0], close: end }
  })

const memory = (program: string, plan: Plan, folios: Memory.Folios, mebibytes: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      // One memfd for both sides and all rounds: it is given back every time.
      const memfd = yield* Memory.memfd(folios, mebibytes)
      yield* Rounds.run({
        rounds: plan.rounds,
        prefix: folios,
        amount: mebibytes / 1024,
        c: () => Rounds.c(program, ["memory", "3"], memfd.fd),
        sdk: () => preserving([memfd])
      })
    })
  )

/** What needs no live update at all, and can run on any machine. */
export const calls = (program: string, rounds: number) =>
  Effect.gen(function* () {
    const amount = 2000
    yield* Rounds.run({
      rounds,
      prefix: "memfds",
      amount,
      c: () =>
        Effect.map(Rounds.c(program, ["memfds", String(amount)]), ({ close = 0, create = 0 }) => ({
          "": close + create
        })),
      sdk: () =>
        Effect.map(
          Rounds.timeScoped(
            Effect.forEach(numbers(amount), () => Memfd.create({ name: "bench", size: 4096 }), { discard: true })
          ),
          ({ end, work }) => ({ "": work + end })
        )
    })
    yield* Effect.scoped(
      Effect.flatMap(Memfd.create({ name: "bench", size: 0 }), (memfd) =>
        Rounds.run({
          rounds,
          prefix: "seals",
          amount,
          c: () => Effect.map(Rounds.c(program, ["seals", String(amount)]), ({ seals = 0 }) => ({ "": seals })),
          sdk: () =>
            Effect.map(
              Rounds.time(Effect.forEach(numbers(amount), () => Memfd.getSeals(memfd), { discard: true })),
              ([nanoseconds]) => ({ "": nanoseconds })
            )
        })
      )
    )
  })

export const before = (program: string, plan: Plan) =>
  Effect.gen(function* () {
    yield* calls(program, plan.rounds)
    yield* sessions(program, plan)
    yield* files(program, plan)
    yield* memory(program, plan, "small-folios", plan.smallFolios)
    yield* memory(program, plan, "huge-folios", plan.hugeFolios)
  })
