/**
 * The `agent` command.
 *
 * @since 0.1.0
 */
import { randomUUID } from "node:crypto"
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Random from "effect/Random"
import * as KnownImages from "../upgrade/doctor/KnownImages.ts"
import * as AgentCommand from "./AgentCommand.ts"
import * as Completions from "./Completions.ts"
import { ExitCode } from "./ExitCode.ts"
import * as Layers from "./Layers.ts"
import * as Log from "./Log.ts"
import { Exited, run } from "./Runner.ts"
import { UsageError } from "./UsageError.ts"
import { VERSION } from "./Version.ts"

const cli = Command.run(AgentCommand.command, { name: "agent", version: VERSION })

/** The parser answers an unknown subcommand of a group with the names of the groups. */
const checkSubcommand = ([, , group = "", name]: ReadonlyArray<string>): Effect.Effect<void, UsageError> => {
  const known = AgentCommand.groups.get(group)
  if (known === undefined || name === undefined || name.startsWith("-") || HashMap.has(known, name)) return Effect.void
  const names = [...HashMap.keys(known)].sort().join(", ")
  return Effect.fail(new UsageError({ message: `agent ${group} ${name} is no command: use one of ${names}.` }))
}

/** The parser would print completions of its own. */
const completionsOr = <E, R>(argv: ReadonlyArray<string>, otherwise: Effect.Effect<void, E, R>) => {
  const shell = Completions.asked(argv)
  return shell === undefined
    ? otherwise
    : Effect.sync(() => {
        process.stdout.write(Completions.render(shell))
      })
}

/**
 * @since 0.1.0
 * @category running
 */
export const main = (argv: ReadonlyArray<string>): void =>
  run(
    checkSubcommand(argv).pipe(
      Effect.zipRight(completionsOr(argv, cli(argv))),
      // The parser has shown what it doesn't understand; the exit code is ours.
      Effect.catchIf(ValidationError.isValidationError, () => Effect.fail(new Exited(ExitCode.usage))),
      // What a start-up snapshot has would give every start the same numbers.
      Effect.withRandom(Random.make(randomUUID())),
      Effect.provide(Layers.host),
      Effect.provide(KnownImages.layer),
      Effect.provide(Log.layer()),
      Effect.provide(NodeContext.layer)
    )
  )
