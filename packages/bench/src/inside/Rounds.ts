/**
 * The two sides of a round: the C program as a process of its own, the SDK in this one. Both report nanoseconds by operation.
 */
import { spawnSync } from "node:child_process"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Measurement, toLine } from "../Measurement.ts"

export type Times = Readonly<Record<string, number>>

/** Runs the C program; `fd` becomes its descriptor 3. */
export const c = (program: string, args: ReadonlyArray<string>, fd?: number): Effect.Effect<Times> =>
  Effect.sync(() => {
    const { status, stdout } = spawnSync(program, [...args], {
      stdio: ["ignore", "pipe", "inherit", ...(fd === undefined ? [] : [fd])],
      encoding: "utf8"
    })
    if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}`)
    return Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" "))
        .map(([operation = "", nanoseconds]) => [operation, Number(nanoseconds)])
    )
  })

/** How long an effect takes, in nanoseconds. */
export const time = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [number, A], E, R> =>
  Effect.gen(function* () {
    const from = yield* Clock.currentTimeNanos
    const result = yield* effect
    return [Number((yield* Clock.currentTimeNanos) - from), result] as const
  })

/** The same for what needs a scope, and for the end of that scope. */
export const timeScoped = <A, E, R>(effect: Effect.Effect<A, E, R | Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const [work, result] = yield* time(Scope.extend(effect, scope)).pipe(
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    const [end] = yield* time(Scope.close(scope, Exit.void))
    return { work, end, result }
  })

/** Lets both sides do it in every round, each of them first in every second one, and writes down what they took. */
export const run = <E1, R1, E2, R2>(options: {
  readonly rounds: number
  /** Before the names that the sides report. */
  readonly prefix: string
  readonly amount: number
  readonly c: (round: number) => Effect.Effect<Times, E1, R1>
  readonly sdk: (round: number) => Effect.Effect<Times, E2, R2>
}) =>
  Effect.gen(function* () {
    const report = (implementation: "c" | "sdk", round: number, times: Times) => {
      for (const [name, nanoseconds] of Object.entries(times)) {
        const operation = name === "" ? options.prefix : `${options.prefix}.${name}`
        const { amount } = options
        process.stdout.write(`${toLine(new Measurement({ operation, implementation, round, amount, nanoseconds }))}\n`)
      }
    }
    for (let round = 0; round < options.rounds; round++) {
      const c = Effect.map(options.c(round), (times) => report("c", round, times))
      const sdk = Effect.map(options.sdk(round), (times) => report("sdk", round, times))
      yield* round % 2 === 0 ? Effect.zipRight(c, sdk) : Effect.zipRight(sdk, c)
    }
  })
