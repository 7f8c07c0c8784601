/**
 * The `agent` command.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as KnownImages from "../upgrade/doctor/KnownImages.ts"
import * as DoctorCommand from "./DoctorCommand.ts"
import { ExitCode } from "./ExitCode.ts"
import * as HostCommands from "./HostCommands.ts"
import * as Layers from "./Layers.ts"
import * as Log from "./Log.ts"
import * as ParkCommands from "./ParkCommands.ts"
import * as PlanCommand from "./PlanCommand.ts"
import { Exited, run } from "./Runner.ts"
import * as UpgradeCommand from "./UpgradeCommand.ts"
import { UsageError } from "./UsageError.ts"
import * as VmCommands from "./VmCommands.ts"

const root = Command.make("agent").pipe(
  Command.withDescription("Replaces a host's kernel under its running virtual machines."),
  Command.withSubcommands([
    ...UpgradeCommand.commands,
    PlanCommand.command,
    ...ParkCommands.commands,
    DoctorCommand.command,
    VmCommands.command,
    HostCommands.command
  ])
)

const cli = Command.run(root, { name: "agent", version: "0.1.0" })

const groups = {
  vm: [...HashMap.keys(Command.getSubcommands(VmCommands.command))],
  host: [...HashMap.keys(Command.getSubcommands(HostCommands.command))]
}

/** The parser answers an unknown subcommand of a group with the names of the groups. */
const checkSubcommand = ([, , group, name]: ReadonlyArray<string>): Effect.Effect<void, UsageError> => {
  if ((group !== "vm" && group !== "host") || name === undefined || name.startsWith("-")) return Effect.void
  const known = groups[group]
  return known.includes(name)
    ? Effect.void
    : Effect.fail(
        new UsageError({ message: `agent ${group} ${name} is no command: use one of ${known.sort().join(", ")}.` })
      )
}

/**
 * @since 0.1.0
 * @category running
 */
export const main = (argv: ReadonlyArray<string>): void =>
  run(
    checkSubcommand(argv).pipe(
      Effect.zipRight(cli(argv)),
      // The parser has shown what it doesn't understand; the exit code is ours.
      Effect.catchIf(ValidationError.isValidationError, () => Effect.fail(new Exited(ExitCode.usage))),
      Effect.provide(Layers.host),
      Effect.provide(KnownImages.layer),
      Effect.provide(Log.layer()),
      Effect.provide(NodeContext.layer)
    )
  )
