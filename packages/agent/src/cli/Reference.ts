/**
 * Every command with its options as plain data, from the parser's own definitions: the man page and the completions of shells are made of it.
 *
 * @since 0.1.0
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as Descriptor from "@effect/cli/CommandDescriptor"
import type * as HelpDoc from "@effect/cli/HelpDoc"
import * as Usage from "@effect/cli/Usage"
import * as HashMap from "effect/HashMap"
import * as AgentCommand from "./AgentCommand.ts"

/**
 * An option, or an argument.
 *
 * @since 0.1.0
 * @category models
 */
export interface Parameter {
  /** `--help` and `-h`; of an argument its one name, as `<id>`. */
  readonly names: ReadonlyArray<string>
  /** What follows it, as `text` or `integer`; none of a switch. */
  readonly value: string | undefined
  /** All that the value can be, where that is known. */
  readonly choices: ReadonlyArray<string>
  readonly repeated: boolean
  readonly description: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Described {
  /** `["vm", "start"]`; empty of the agent itself. */
  readonly path: ReadonlyArray<string>
  readonly usage: string
  readonly description: string
  readonly arguments: ReadonlyArray<Parameter>
  readonly options: ReadonlyArray<Parameter>
  /** The words that can follow. */
  readonly subcommands: ReadonlyArray<string>
}

type Span = HelpDoc.Paragraph["value"]

const spanText = (span: Span): string => {
  switch (span._tag) {
    case "Text":
    case "URI":
      return span.value
    case "Sequence":
      return spanText(span.left) + spanText(span.right)
    default:
      return spanText(span.value)
  }
}

const flat = (doc: HelpDoc.HelpDoc): ReadonlyArray<Exclude<HelpDoc.HelpDoc, HelpDoc.Sequence | HelpDoc.Empty>> => {
  switch (doc._tag) {
    case "Empty":
      return []
    case "Sequence":
      return [...flat(doc.left), ...flat(doc.right)]
    default:
      return [doc]
  }
}

const paragraphs = (doc: HelpDoc.HelpDoc): ReadonlyArray<string> =>
  flat(doc).flatMap((part) => (part._tag === "Paragraph" ? [spanText(part.value)] : []))

/** What the parser says of every parameter of a kind. */
const ofItsKind =
  /^(A user-defined piece of text\.|A true or false value\.|An integer\.|One of the following: .*|This (setting|option|argument) .*)$/

/** `--vm text...`, `(-h, --help)`, `--output human | ndjson`, `<command>...` */
const parameterOf = ([title, about]: readonly [Span, HelpDoc.HelpDoc]): Parameter => {
  const text = spanText(title)
  const [, aliases, name = "", value] = /^(?:\((.+)\)|(\S+?))(?:\.\.\.)?(?: (.+?)(?:\.\.\.)?)?$/.exec(text) ?? []
  return {
    names: aliases?.split(", ") ?? [name],
    value,
    choices: value?.includes(" | ") ? value.split(" | ") : [],
    repeated: text.endsWith("..."),
    description: paragraphs(about)
      .filter((line) => !ofItsKind.test(line))
      .join(" ")
  }
}

const section = (doc: HelpDoc.HelpDoc, title: string): ReadonlyArray<HelpDoc.HelpDoc> => {
  const parts = flat(doc)
  const isHeader = (part: HelpDoc.HelpDoc) => part._tag === "Header"
  const begin = parts.findIndex((part) => part._tag === "Header" && spanText(part.value) === title) + 1
  if (begin === 0) return []
  const end = parts.findIndex((part, index) => index >= begin && isHeader(part))
  return parts.slice(begin, end < 0 ? undefined : end)
}

const parametersOf = (doc: HelpDoc.HelpDoc, title: string): ReadonlyArray<Parameter> =>
  section(doc, title).flatMap((part) => (part._tag === "DescriptionList" ? part.definitions.map(parameterOf) : []))

type Descriptors = HashMap.HashMap<string, Descriptor.Command<unknown>>

const sorted = (commands: Descriptors) => HashMap.toEntries(commands).sort(([a], [b]) => (a < b ? -1 : 1))

const rootHelp = () => Command.getHelp(AgentCommand.command, CliConfig.defaultConfig)

/**
 * Options that every command has.
 *
 * @since 0.1.0
 * @category constructors
 */
export const builtIns = (): ReadonlyArray<Parameter> => parametersOf(rootHelp(), "OPTIONS")

/**
 * The agent itself, and all commands in the order of their names. Their options are without the built-in ones.
 *
 * @since 0.1.0
 * @category constructors
 */
export const commands = (): ReadonlyArray<Described> => {
  const ofAll = new Set(builtIns().flatMap(({ names }) => names))
  const describe = (
    path: ReadonlyArray<string>,
    command: Descriptor.Command<unknown>,
    subcommands: ReadonlyArray<string>
  ): Described => {
    const help = Descriptor.getHelp(command, CliConfig.defaultConfig)
    // A command calls itself by the last word of its path.
    const usage = Usage.enumerate(Descriptor.getUsage(command), CliConfig.defaultConfig).slice(0, 1).map(spanText)
    return {
      path,
      usage: ["agent", ...path.slice(0, -1), ...usage, ...(subcommands.length > 0 ? ["COMMAND"] : [])].join(" "),
      description: section(help, "DESCRIPTION").flatMap(paragraphs).join(" "),
      arguments: parametersOf(help, "ARGUMENTS"),
      options: parametersOf(help, "OPTIONS").filter(({ names }) => !names.some((name) => ofAll.has(name))),
      subcommands
    }
  }
  const walk = (commands: Descriptors, above: ReadonlyArray<string>): ReadonlyArray<Described> =>
    sorted(commands).flatMap(([name, command]) => {
      const path = [...above, name]
      const inner = AgentCommand.groups.get(path.join(" ")) ?? HashMap.empty()
      const names = sorted(inner).map(([name]) => name)
      return [describe(path, command, names), ...walk(inner, path)]
    })
  const below = Command.getSubcommands(AgentCommand.command)
  const agent: Described = {
    path: [],
    usage: "agent COMMAND",
    description: section(rootHelp(), "DESCRIPTION").flatMap(paragraphs).join(" "),
    arguments: [],
    options: [],
    subcommands: sorted(below).map(([name]) => name)
  }
  return [agent, ...walk(below, [])]
}
