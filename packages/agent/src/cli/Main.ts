/**
 * The `agent` command.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as KnownImages from "../upgrade/doctor/KnownImages.ts"
import * as AgentCommand from "./AgentCommand.ts"
import { ExitCode } from "./ExitCode.ts"
import * as Layers from "./Layers.ts"
import * as Log from "./Log.ts"
import { Exited, run } from "./Runner.ts"
import { UsageError } from "./UsageError.ts"

const cli = Command.run(AgentCommand.command, { name: "agent", version: AgentCommand.VERSION })

/** The parser answers an unknown subcommand of a group with the names of the groups. */
const checkSubcommand = ([, , group = "", name]: ReadonlyArray<string>): Effect.Effect<void, UsageError> => {
  const known = AgentCommand.groups.get(group)
  if (known === undefined || name === undefined || name.startsWith("-")) return Effect.void
  return known.includes(name)
    ? Effect.void
    : Effect.fail(
        new UsageError({ message: `agent ${group} ${name} is no command: use one of ${known.toSorted().join(", ")}.` })
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
