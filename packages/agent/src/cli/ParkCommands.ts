/**
 * `agent park` and `agent discard`: guests that wait for their operator after a jump.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Parked from "../upgrade/Parked.ts"
import * as Unpublished from "../upgrade/Unpublished.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"
import { UsageError } from "./UsageError.ts"

const sizeOf = (bytes: number | undefined) => (bytes === undefined ? "memory of unknown size" : Output.mebibytes(bytes))

const describe = ({ vm, session, holder, pid, memoryBytes, failed }: Parked.Parked): string =>
  [
    `${vm}\t${sizeOf(memoryBytes)}\tsession ${session} (${holder}, pid ${pid})`,
    `  ${failed === undefined ? "no failure is on record" : `failed at ${failed.step}: ${failed.reason}`}`,
    `  → Remove the cause, then: agent resume --vm ${vm}. Give it up: agent discard --vm ${vm} --yes`
  ].join("\n")

const park = Command.make(
  "park",
  {
    list: Options.boolean("list").pipe(
      Options.withDescription("list them; there is nothing else to do with them here")
    ),
    output: Shared.output,
    host: Shared.host
  },
  ({ output, host }) =>
    Shared.whereTold(
      host,
      Shared.there(["park", "--list", "--output", output]),
      Effect.gen(function* () {
        const parked = yield* Parked.list
        if (output === "human" && parked.length === 0) return yield* Output.result(output, "No VM is parked.", {})
        yield* Effect.forEach(
          parked,
          (one) =>
            Output.result(output, describe(one), { type: "parked", ...one, memoryBytes: one.memoryBytes ?? null }),
          { discard: true }
        )
      })
    )
).pipe(Command.withDescription("List the VMs whose memory waits, after a jump, to be resumed or given up"))

const discard = Command.make(
  "discard",
  {
    vm: Options.text("vm").pipe(Options.withDescription("the parked VM to give up")),
    yes: Options.boolean("yes").pipe(Options.withDescription("its memory is freed for good: say that you mean it")),
    output: Shared.output,
    host: Shared.host
  },
  ({ vm, yes, output, host }) =>
    Shared.whereTold(
      host,
      Shared.there(["discard", "--vm", vm, ...(yes ? ["--yes"] : []), "--output", output]),
      Effect.gen(function* () {
        if (!yes)
          return yield* new UsageError({
            message: `This ends VM ${vm} for good: its memory is freed, only its disks stay. If you mean it, add --yes. To bring it back: agent resume --vm ${vm}`
          })
        const told = Unpublished.watch(() => undefined)
        const left = yield* Effect.ensuring(Parked.discard(vm, { listener: told.listener }), told.note)
        const others = left.length === 0 ? "No other VM is parked." : `Parked still: ${left.join(", ")}.`
        yield* Output.result(
          output,
          `VM ${vm} is given up: its memory is freed, its disks are as they are. ${others}`,
          {
            type: "discarded",
            vm,
            parked: left
          }
        )
      })
    )
).pipe(Command.withDescription("Give a parked VM up: free its memory for good"))

/**
 * @since 0.1.0
 * @category commands
 */
export const commands = [park, discard] as const
