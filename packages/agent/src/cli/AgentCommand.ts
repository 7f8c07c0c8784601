/**
 * All commands of the agent, as one.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import type * as Descriptor from "@effect/cli/CommandDescriptor"
import type * as HashMap from "effect/HashMap"
import * as ConfigCommands from "./ConfigCommands.ts"
import * as DoctorCommand from "./DoctorCommand.ts"
import * as HostCommands from "./HostCommands.ts"
import * as MetricsCommands from "./MetricsCommands.ts"
import * as ParkCommands from "./ParkCommands.ts"
import * as PlanCommand from "./PlanCommand.ts"
import * as ReportCommand from "./ReportCommand.ts"
import * as UpgradeCommand from "./UpgradeCommand.ts"
import * as VmCommands from "./VmCommands.ts"

/**
 * Those that are no command by themselves, only with one of these behind it. The parser knows one level of them.
 *
 * @since 0.1.0
 * @category constants
 */
export const groups: ReadonlyMap<string, HashMap.HashMap<string, Descriptor.Command<unknown>>> = new Map([
  ["vm", Command.getSubcommands(VmCommands.command)],
  ["config", Command.getSubcommands(ConfigCommands.command)],
  ["host", Command.getSubcommands(HostCommands.command)]
])

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make("agent").pipe(
  Command.withDescription("Replaces a host's kernel under its running virtual machines."),
  Command.withSubcommands([
    ...UpgradeCommand.commands,
    ReportCommand.command,
    ...MetricsCommands.commands,
    PlanCommand.command,
    ...ParkCommands.commands,
    DoctorCommand.command,
    VmCommands.command,
    ConfigCommands.command,
    HostCommands.command
  ])
)
