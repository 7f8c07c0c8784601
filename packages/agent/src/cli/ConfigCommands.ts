/**
 * `agent config show|check`: what is set on this host, and whether a file can be.
 *
 * @since 0.1.0
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { stringify } from "smol-toml"
import * as ConfigurationFile from "../config/ConfigurationFile.ts"
import * as Effective from "../config/Effective.ts"
import * as Origin from "../config/Origin.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"

/** As a line of TOML, so that what is shown can be a file. */
const assignment = ({ key, value }: Effective.Entry): string =>
  `${key} =${stringify({ value }).trim().slice("value =".length)}`

/**
 * Every effective value as a line of TOML; its origin is a comment behind it.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (entries: ReadonlyArray<Effective.Entry>, withOrigin: boolean): string => {
  const lines = entries.map(assignment)
  const width = Math.max(...lines.map((line) => line.length))
  return entries
    .map(({ origin }, index) => {
      const line = lines[index] ?? ""
      return withOrigin ? `${line.padEnd(width)}  # ${Origin.render(origin)}` : line
    })
    .join("\n")
}

/**
 * Shows them.
 *
 * @since 0.1.0
 * @category output
 */
export const print = (
  format: Output.Format,
  { entries }: Effective.Effective,
  withOrigin: boolean
): Effect.Effect<void> =>
  format === "human"
    ? Output.result(format, render(entries, withOrigin), {})
    : Effect.forEach(
        entries,
        ({ key, value, origin }) =>
          Output.result(format, "", {
            type: "setting",
            key,
            value,
            source: origin._tag,
            origin: Origin.render(origin)
          }),
        { discard: true }
      )

const show = Command.make(
  "show",
  {
    origin: Options.boolean("origin").pipe(
      Options.withDescription("say where each value comes from: a line of the file, a variable, or default")
    ),
    config: Shared.config,
    output: Shared.output,
    host: Shared.host
  },
  ({ origin, config, output, host }) =>
    Shared.whereTold(
      host,
      Shared.there([
        ...["config", "show", ...(origin ? ["--origin"] : [])],
        ...[...Shared.forwarded("--config", config), "--output", output]
      ]),
      Effect.flatMap(Effective.load(config), (effective) => print(output, effective, origin))
    )
).pipe(Command.withDescription("Show every value that is in effect on this host, as TOML. Changes nothing"))

const check = Command.make(
  "check",
  {
    file: Args.text({ name: "file" }).pipe(
      Args.optional,
      Args.withDescription(`the file; ${ConfigurationFile.defaultPath} without one`)
    ),
    output: Shared.output,
    host: Shared.host
  },
  ({ file, output, host }) =>
    Shared.whereTold(
      host,
      Shared.there(["config", "check", "--output", output, ...Option.toArray(file)]),
      Effect.gen(function* () {
        const path = Option.getOrElse(file, () => ConfigurationFile.defaultPath)
        const said = yield* ConfigurationFile.read(path)
        yield* Output.result(output, `${path} can be used: it sets ${said.length} of the keys.`, {
          type: "config",
          path,
          set: said.map(({ key }) => key)
        })
      })
    )
).pipe(
  Command.withDescription(
    "Check that a file can be the configuration: what it says, and who may change it. Exit code 2: no"
  )
)

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make("config").pipe(
  Command.withDescription("What is set for this host: file, environment, defaults"),
  Command.withSubcommands([show, check])
)
