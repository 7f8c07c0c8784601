/**
 * `agent plan`: what `agent upgrade` would do.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Effective from "../config/Effective.ts"
import * as Plan from "../upgrade/Plan.ts"
import * as Chosen from "./Chosen.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"

/**
 * The live update that was planned would be refused.
 *
 * @since 0.1.0
 * @category errors
 */
export class WouldBeRefused extends Data.TaggedError("WouldBeRefused")<{ readonly refusals: ReadonlyArray<string> }> {
  override get message(): string {
    return `It would be refused: ${this.refusals[0]}${this.refusals.length > 1 ? ` (and ${this.refusals.length - 1} more)` : ""}`
  }
}

const bytes = (value: number | undefined) => (value === undefined ? "size not known yet" : Output.mebibytes(value))

const session = ({ session, files }: Plan.PlannedSession): ReadonlyArray<string> => [
  `  ${session}`,
  ...files.map(
    ({ name, token, kind, bytes: size, ifJumpFails, whileRunning }) =>
      `    ${token.padStart(2)}  ${name.padEnd(9)} ${kind}, ${bytes(size)}, ${whileRunning ? "while the guests run" : "in the blackout"}, ${ifJumpFails} if the jump fails`
  )
]

const blackouts = (measured: Plan.MeasuredRun | undefined): ReadonlyArray<string> =>
  measured === undefined
    ? ["not known: no live update that went this way was measured on this host yet"]
    : measured.blackouts.map(
        (_) =>
          `${_.vm}: ${Math.round(_.total)} ms (kernel ${Math.round(_.kernel)}, VMM start ${Math.round(_.vmmStart)}, state save ${Math.round(_.stateSave)}, state load ${Math.round(_.stateLoad)}, ours ${Math.round(_.ours)}), as in run ${measured.run}`
      )

/** What this way costs, and what the other would cost instead. */
const way = ({ jump, by, costs, undo, measured }: Plan.PlannedWay, index: number): ReadonlyArray<string> => [
  index === 0 ? `This way (--jump ${jump}, ${by}):` : `The other way (--jump ${jump}, ${by}):`,
  ...costs.map((cost) => `  ${cost}`),
  ...(index === 0
    ? []
    : [
        ...Object.entries(undo).map(([phase, how]) => `  undo of ${phase}: ${how}`),
        ...blackouts(measured).map((line) => `  blackout: ${line}`)
      ]),
  ""
]

/**
 * The plan as text.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (plan: Plan.Plan): string => {
  const { measured, memory } = plan
  return [
    `Kernel ${plan.from} → ${plan.to ?? "unknown"} (${plan.kernel})`,
    "",
    ...plan.ways.flatMap(way),
    `Preserved, in this order (${Output.mebibytes(memory.preserved)} known now, ${bytes(memory.available)} left):`,
    ...plan.sessions.flatMap(session),
    "",
    "Phases:",
    ...plan.phases.map(
      ({ phase, side, deadline, undo }) =>
        `  ${phase.padEnd(17)} ${side.padEnd(7)} ${(deadline === undefined ? "" : `${deadline} s`).padEnd(7)} undo: ${undo}`
    ),
    ...Object.entries(plan.hooks).map(([hook, paths]) => `  hook ${hook}: ${paths.join(", ")}`),
    "",
    "Expected blackout:",
    ...blackouts(measured).map((line) => `  ${line}`),
    "",
    "What can't be undone:",
    ...plan.irreversible.map((line) => `  ${line}`),
    ...(plan.unknown.length === 0 ? [] : ["", "Not known:", ...plan.unknown.map((line) => `  ${line}`)]),
    "",
    ...(plan.refusals.length === 0
      ? ["Nothing stands in its way."]
      : ["It would be refused:", ...plan.refusals.map((line) => `  ${line}`)])
  ].join("\n")
}

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make(
  "plan",
  { ...Chosen.options, output: Shared.output, host: Shared.host },
  ({ output, host, ...chosen }) =>
    Effect.zipRight(
      Chosen.check(chosen),
      Shared.whereTold(
        host,
        Shared.there(["plan", ...Chosen.forwarded(chosen), "--output", output]),
        Effect.gen(function* () {
          const plan = yield* Plan.make(
            yield* Chosen.upgradeOptions(chosen, yield* Effective.load(chosen.config, Chosen.said(chosen)))
          )
          yield* Output.result(output, render(plan), { type: "plan", ...plan })
          if (plan.refusals.length > 0) return yield* new WouldBeRefused({ refusals: plan.refusals })
        })
      )
    )
).pipe(
  Command.withDescription(
    "Show what agent upgrade would do, what can't be undone, and everything that would refuse it. Changes nothing"
  )
)
