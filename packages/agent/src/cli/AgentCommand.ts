/**
 * All commands of the agent, as one.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as HashMap from "effect/HashMap"
import * as ConfigCommands from "./ConfigCommands.ts"
import * as DoctorCommand from "./DoctorCommand.ts"
import * as HostCommands from "./HostCommands.ts"
import * as ParkCommands from "./ParkCommands.ts"
import * as PlanCommand from "./PlanCommand.ts"
import * as UpgradeCommand from "./UpgradeCommand.ts"
import * as VmCommands from "./VmCommands.ts"

const namesOf = <Name extends string, R, E, A>(group: Command.Command<Name, R, E, A>) => [
  ...HashMap.keys(Command.getSubcommands(group))
]

/**
 * Names of those that are no command by themselves, only with a second word.
 *
 * @since 0.1.0
 * @category constants
 */
export const groups: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["vm", namesOf(VmCommands.command)],
  ["config", namesOf(ConfigCommands.command)],
  ["host", namesOf(HostCommands.command)]
])

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make("agent").pipe(
  Command.withDescription("Replaces a host's kernel under its running virtual machines."),
  Command.withSubcommands([
    ...UpgradeCommand.commands,
    PlanCommand.command,
    ...ParkCommands.commands,
    DoctorCommand.command,
    VmCommands.command,
    ConfigCommands.command,
    HostCommands.command
  ])
)

/**
 * @since 0.1.0
 * @category constants
 */
export const VERSION = "0.1.0"
