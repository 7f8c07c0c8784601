/**
 * `agent doctor`: whether this host can be trusted with a live update.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Effective from "../config/Effective.ts"
import * as CommandLine from "../upgrade/CommandLine.ts"
import * as Doctor from "../upgrade/Doctor.ts"
import { Check, type Finding, TargetCheck, Verdict } from "../upgrade/doctor/Finding.ts"
import * as LinuxFacts from "../upgrade/doctor/LinuxFacts.ts"
import * as TargetChecks from "../upgrade/doctor/TargetChecks.ts"
import * as TargetFacts from "../upgrade/doctor/TargetFacts.ts"
import { ExitCode } from "./ExitCode.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"
import { Exited } from "./Runner.ts"

const widest = (words: ReadonlyArray<string>): number => Math.max(...words.map((word) => word.length))

const columns = {
  verdict: widest(Verdict.literals),
  check: widest([...Check.literals, ...TargetCheck.literals])
} as const

/**
 * A finding for people: one line, and what to do in a second one under the text of the first.
 *
 * @since 0.1.0
 * @category rendering
 */
export const renderFinding = ({ check, detail, next, verdict }: Finding): string => {
  const head = `${verdict.padEnd(columns.verdict)}  ${check.padEnd(columns.check)}  `
  return next === undefined ? `${head}${detail}` : `${head}${detail}\n${" ".repeat(head.length)}→ ${next}`
}

const sentences = {
  ok: "This host is ready for a live update",
  warn: "Nothing was found that a live update would fail on",
  fail: "This host is not ready for a live update"
} as const

/**
 * The last line: what it comes to.
 *
 * @since 0.1.0
 * @category rendering
 */
export const renderSummary = ({ counts, failed, verdict }: Doctor.Summary): string => {
  const numbers = Verdict.literals.flatMap((name) => (counts[name] === 0 ? [] : [`${counts[name]} ${name}`])).join(", ")
  return `${sentences[verdict]}: ${numbers}${failed.length === 0 ? "" : `. Failed: ${failed.join(", ")}`}`
}

/**
 * Shows findings and what they come to; fails with the exit code for a precondition when a check failed.
 *
 * @since 0.1.0
 * @category output
 */
export const show = (format: Output.Format, findings: ReadonlyArray<Finding>): Effect.Effect<void, Exited> =>
  Effect.gen(function* () {
    for (const finding of findings)
      yield* Output.result(format, renderFinding(finding), { type: "finding", ...finding })
    const summary = Doctor.summarize(findings)
    yield* Output.result(format, `\n${renderSummary(summary)}`, { type: "summary", ...summary })
    if (summary.verdict === "fail") return yield* Effect.fail(new Exited(ExitCode.precondition))
  })

/** As `agent upgrade` without --cmdline would start it. */
const examineTarget = (kernel: string, config: Option.Option<string>) =>
  Effect.gen(function* () {
    const { configuration } = yield* Effective.load(config)
    const commandLine = yield* CommandLine.resolve(configuration.upgrade.cmdline)
    return TargetChecks.judge(yield* TargetFacts.look({ kernel, commandLine }))
  })

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make(
  "doctor",
  {
    kernel: Options.text("kernel").pipe(
      Options.optional,
      Options.withDescription("the next kernel's image: look into it as well (on the host that is looked at)")
    ),
    config: Shared.config,
    output: Shared.output,
    host: Shared.host
  },
  ({ kernel, config, output, host }) =>
    Effect.gen(function* () {
      if (Option.isSome(host))
        return yield* Shared.there([
          "doctor",
          ...Shared.forwarded("--kernel", kernel),
          ...Shared.forwarded("--config", config),
          "--output",
          output
        ])(host.value)
      // First: what can't be read is said before anything is shown.
      const target = Option.isSome(kernel) ? yield* examineTarget(kernel.value, config) : []
      const findings = yield* Doctor.examine.pipe(Effect.provide(LinuxFacts.layer))
      return yield* show(output, [...findings, ...target])
    })
).pipe(Command.withDescription("Check whether this host can do a live update; changes nothing. Exit code 5: it can't"))
