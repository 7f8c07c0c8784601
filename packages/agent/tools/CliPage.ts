/**
 * docs/cli.md: every command with its options, from the parser's own definitions.
 */
import * as Reference from "../src/cli/Reference.ts"
import * as Settings from "../src/config/Settings.ts"

/** In a cell of a table. */
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "\\<")

const value = ({ choices, value }: Reference.Parameter): string =>
  value === undefined ? "" : choices.length > 0 ? choices.map((choice) => `\`${choice}\``).join(", ") : value

/** Which key of agent.toml stands for an option that isn't given. */
const keyOf = (command: string, names: ReadonlyArray<string>): string => {
  const setting = Settings.all.find(
    ({ flag }) =>
      flag?.of.split(", ").includes(command) === true && flag.name.split(", ").some((name) => names.includes(name))
  )
  return setting === undefined ? "" : `\`${setting.key}\``
}

/** The last column only where there is something in it. */
const table = (command: string, parameters: ReadonlyArray<Reference.Parameter>): string => {
  const keys = parameters.map(({ names }) => keyOf(command, names))
  const row = (cells: ReadonlyArray<string>) =>
    `| ${(keys.some((key) => key !== "") ? cells : cells.slice(0, -1)).join(" | ")} |`
  return [
    row(["", "takes", "what", "in [agent.toml](configuration.md)"]),
    row(["---", "---", "---", "---"]),
    ...parameters.map((parameter, index) =>
      row([
        `${parameter.names.map((name) => `\`${name}\``).join(", ")}${parameter.repeated ? " …" : ""}`,
        value(parameter),
        cell(parameter.description),
        keys[index] ?? ""
      ])
    )
  ].join("\n")
}

const name = (path: ReadonlyArray<string>) => ["agent", ...path].join(" ")

const section = ({ path, usage, description, options, subcommands, ...command }: Reference.Described): string => {
  const parameters = [...command.arguments, ...options]
  return [
    `## \`${name(path)}\``,
    description,
    ...(subcommands.length > 0
      ? [`Commands: ${subcommands.map((word) => `[${word}](#${["agent", ...path, word].join("-")})`).join(", ")}.`]
      : [`\`\`\`\n${usage}\n\`\`\``]),
    ...(parameters.length > 0 ? [table(path.join(" "), parameters)] : [])
  ].join("\n\n")
}

const [agent, ...commands] = Reference.commands()

export const text = `<!-- Made by packages/agent/tools from the commands themselves: npm run docs -->

# Commands

${agent?.description ?? ""} Results are on stdout, logs and progress on stderr. What each exit code means is in the [README](../README.md#exit-codes),
what it asks for in the [runbook](runbook.md#what-each-exit-code-asks-for). An option that isn't given is taken from the environment,
\`agent.toml\`, or its default, in this order ([configuration.md](configuration.md)).

| command | what it does |
| --- | --- |
${commands
  .filter(({ path }) => path.length === 1)
  .map(({ path, description }) => `| [\`${name(path)}\`](#agent-${path.join("-")}) | ${cell(description)} |`)
  .join("\n")}

${commands.map(section).join("\n\n")}

## Options of every command

| | takes | what |
| --- | --- | --- |
${Reference.builtIns()
  .map(
    (option) =>
      `| ${option.names.map((one) => `\`${one}\``).join(", ")} | ${value(option)} | ${cell(option.description)} |`
  )
  .join("\n")}
`
