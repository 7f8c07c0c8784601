/** The kernel, and that the model is like it: every behaviour has the same verdict from both, every random operation the same result. */
import { isDeepStrictEqual } from "node:util"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { handoversOf } from "../../src/handovers/index.ts"
import * as ModelHost from "../../src/ModelHost.ts"
import * as Generate from "../../src/random/Generate.ts"
import type { Sequence } from "../../src/random/Operation.ts"
import type { Results } from "../../src/random/Run.ts"
import * as Random from "../../src/random/Run.ts"
import * as Seed from "../../src/random/Seed.ts"
import * as Shrink from "../../src/random/Shrink.ts"
import type { Finding, Findings } from "../../src/Suite.ts"
import { scenariosOf } from "../../src/scenarios/index.ts"
import * as ConformanceHost from "./ConformanceHost.ts"

const isFinding = (value: unknown): value is Finding =>
  typeof value === "object" && value !== null && "behaviour" in value && "verdict" in value

const asFindings = (lines: ReadonlyArray<unknown>): ReadonlyArray<Finding> =>
  lines.map((line) => (isFinding(line) ? line : assert.fail(`not a finding: ${JSON.stringify(line)}`)))

const isResults = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((one) => typeof one === "string")

const asResults = (lines: ReadonlyArray<unknown>): Results =>
  lines.map((line) => (isResults(line) ? line : assert.fail(`no results: ${JSON.stringify(line)}`)))

const file = "/run/conformance.json"
const seed = Seed.choose()

/** What the kernel says to sequences, and what the model says. */
const ask = (sequences: ReadonlyArray<Sequence>) =>
  Effect.gen(function* () {
    const host = yield* ConformanceHost.ConformanceHost
    yield* host.write(file, JSON.stringify(sequences))
    const asked = Effect.map(host.run("random", file), asResults)
    const modelled = Effect.acquireUseRelease(
      Effect.sync(() => ModelHost.make(host.profile)),
      (model) => Effect.promise(() => Random.run(model.start().calls, sequences)),
      (model) => Effect.sync(() => model.end())
    )
    const [kernel, model] = yield* Effect.all([asked, modelled], { concurrency: "unbounded" })
    return { kernel, model }
  })

type Answers = ReadonlyArray<string> | undefined

const render = (sequence: Sequence, kernel: Answers, model: Answers): string =>
  sequence
    .map((operation, index) => {
      const [one, other] = [kernel?.[index], model?.[index]]
      return `${JSON.stringify(operation)}: ${one === other ? one : `kernel ${one}, model ${other}`}`
    })
    .join("\n")

/** Fails with the shortest sequence that shows a difference, or with the whole one if it shows none when it is alone. */
const explain = (sequence: Sequence, kernel: Answers, model: Answers) =>
  Effect.gen(function* () {
    const host = yield* ConformanceHost.ConformanceHost
    const differs = (batch: ReadonlyArray<Sequence>) =>
      ask(batch).pipe(
        Effect.map(({ kernel, model }) => batch.map((_, index) => !isDeepStrictEqual(kernel[index], model[index]))),
        Effect.provideService(ConformanceHost.ConformanceHost, host),
        Effect.runPromise
      )
    const [alone] = yield* Effect.promise(() => differs([sequence]))
    if (alone !== true)
      return assert.fail(`only after others, LIVEUPDATE_SEED=${seed}\n${render(sequence, kernel, model)}`)
    const shortest = yield* Effect.promise(() => Shrink.shrink(sequence, differs))
    const answers = yield* ask([shortest])
    return assert.fail(`LIVEUPDATE_SEED=${seed}\n${render(shortest, answers.kernel[0], answers.model[0])}`)
  })

/** Asks a host with such a kernel, and the model of it. */
export const suite = (profile: ConformanceHost.Built) =>
  layer(ConformanceHost.layer(profile), { excludeTestServices: true, timeout: "60 minutes" })("the kernel", (it) => {
    const [scenarios, handovers] = [scenariosOf(profile), handoversOf(profile)]
    const seen: { kernel?: Findings; model?: Findings } = {}
    const operations = Seed.operations()

    it.effect(`is a ${profile}`, () =>
      Effect.flatMap(ConformanceHost.ConformanceHost, (host) =>
        Effect.map(host.release, (release) =>
          assert.match(release, profile === "handlers" ? /-handlers-a$/ : new RegExp(`^${profile}\\.\\d+-host-`))
        )
      )
    )

    it.effect(`gives the same results as the model to ${operations} random operations`, () =>
      Effect.gen(function* () {
        const sequences = Generate.sequences(seed, operations, profile)
        const { kernel, model } = yield* ask(sequences)
        const different = sequences.findIndex((_, index) => !isDeepStrictEqual(kernel[index], model[index]))
        if (different >= 0) yield* explain(sequences[different] ?? [], kernel[different], model[different])
        const compared = kernel.reduce((sum, results) => sum + results.length, 0)
        assert.isAtLeast(compared, operations)
        process.stderr.write(`${compared} operations in ${sequences.length} sequences, LIVEUPDATE_SEED=${seed}\n`)
      })
    )

    it.effect("runs the whole suite, and so does the model; random operations across the jump, too", () =>
      Effect.gen(function* () {
        const host = yield* ConformanceHost.ConformanceHost
        const crossings = Generate.crossings(seed, Math.ceil(operations / 200), profile)
        const firsts = crossings.map(({ before }) => before)
        const seconds = crossings.map(({ after }) => after)
        const split = <A>(all: ReadonlyArray<A>, at: number) => [all.slice(0, at), all.slice(at)] as const

        // While the kernel is asked and jumps, which takes longer.
        const modelled = yield* Effect.fork(Effect.promise(() => ModelHost.findings(firsts, seconds, profile)))

        const asked = asFindings(yield* host.run("scenarios"))
        assert.deepStrictEqual(yield* host.complaints, [])
        yield* host.write(file, JSON.stringify(firsts))
        const [before, kernelFirsts] = split(yield* host.runAndJump("before", file), handovers.length)
        yield* host.write(file, JSON.stringify(seconds))
        const [after, kernelSeconds] = split(yield* host.run("after", file), handovers.length)
        seen.kernel = { scenarios: asked, before: asFindings(before), after: asFindings(after) }
        assert.deepStrictEqual(yield* host.complaints, [])

        const model = yield* Fiber.join(modelled)
        seen.model = model
        for (const [index, { before, after }] of crossings.entries()) {
          const say = (operations: Sequence, results: ReadonlyArray<string> | undefined) =>
            operations.map((operation, at) => `${JSON.stringify(operation)}: ${results?.[at]}`)
          const message = `LIVEUPDATE_SEED=${seed}, crossing ${index}`
          assert.deepStrictEqual(say(before, model.firsts[index]), say(before, asResults(kernelFirsts)[index]), message)
          assert.deepStrictEqual(say(after, model.seconds[index]), say(after, asResults(kernelSeconds)[index]), message)
        }
      })
    )

    for (const [index, { behaviour, expected }] of scenarios.entries())
      it.effect(behaviour, () =>
        Effect.sync(() => {
          assert.deepStrictEqual(seen.kernel?.scenarios[index], { behaviour, verdict: expected })
          assert.deepStrictEqual(seen.model?.scenarios[index], seen.kernel?.scenarios[index])
        })
      )
    for (const [index, { behaviour, expected }] of handovers.entries())
      it.effect(`across a jump: ${behaviour}`, () =>
        Effect.sync(() => {
          const { kernel, model } = seen
          assert.deepStrictEqual(
            { before: kernel?.before[index]?.verdict, after: kernel?.after[index]?.verdict },
            expected
          )
          assert.deepStrictEqual(model?.before[index], kernel?.before[index])
          assert.deepStrictEqual(model?.after[index], kernel?.after[index])
        })
      )
  })
