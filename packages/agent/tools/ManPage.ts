/**
 * agent.1: every command with its options from the parser's own definitions, keys of the configuration from its Schema, exit codes from README.
 */
import * as Reference from "../src/cli/Reference.ts"
import { VERSION } from "../src/cli/Version.ts"
import * as ConfigurationFile from "../src/config/ConfigurationFile.ts"
import * as Settings from "../src/config/Settings.ts"

/** A line of roff: a backslash, a dash that is to be copied, and a dot or quote that would begin a request. */
const line = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/`([^`]+)`/g, "\\fB$1\\fR")
    .replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1")
    .replace(/^(?=[.'])/, "\\&")

const bold = (text: string): string => `\\fB${line(text)}\\fR`

const italic = (text: string): string => `\\fI${line(text)}\\fR`

const paragraph = (text: string): string => `.PP\n${line(text)}`

const term = (title: string, text: string): string => `.TP\n${title}\n${line(text)}`

const parameter = ({ names, value, repeated, description }: Reference.Parameter): string => {
  const takes = names[0]?.startsWith("-") && value !== undefined ? ` ${italic(value)}` : ""
  return term(`${names.map(bold).join(", ")}${takes}${repeated ? " ..." : ""}`, description)
}

const command = ({
  path,
  usage,
  description,
  options,
  arguments: args
}: Reference.Described): ReadonlyArray<string> => [
  `.SS ${bold(["agent", ...path].join(" "))}`,
  `.nh\n.ad l\n${line(usage)}\n.ad\n.hy`,
  paragraph(description),
  ...[...args, ...options].map(parameter)
]

/** The rows of README's table. */
const exitCodes = (readme: string): ReadonlyArray<readonly [string, string]> =>
  (readme.split("\n### Exit codes\n")[1]?.split(/\n#/)[0] ?? "").split("\n").flatMap((row) => {
    const [, codes, meaning] = /^\| +(\d[\d, ]*?) +\| (.+?) +\|$/.exec(row) ?? []
    return codes === undefined || meaning === undefined ? [] : [[codes, meaning] as const]
  })

const [agent, ...commands] = Reference.commands()

const files = [
  [ConfigurationFile.defaultPath, "the configuration; it may be missing"],
  ["/etc/liveupdate/hooks", "programs that are run at named moments, unless hooks.directory says otherwise"],
  ["/var/lib/liveupdate", "state: the VMs, and what happened in each live update"],
  ["/run/liveupdate", "sockets, and what ends with a boot"],
  ["/dev/liveupdate", "the kernel's Live Update Orchestrator"]
] as const

export const text = (readme: string): string =>
  `${[
    '.\\" Made by packages/agent/tools from the commands themselves: npm run docs',
    `.TH AGENT 1 "" "liveupdate ${VERSION}" "liveupdate"`,
    ".SH NAME",
    line("agent - replaces a host's kernel under its running virtual machines"),
    ".SH SYNOPSIS",
    `${bold("agent")} ${italic("COMMAND")} [${italic("OPTION")} ...]`,
    ".SH DESCRIPTION",
    line(agent?.description ?? ""),
    paragraph(
      "Guest memory stays where it is while one kernel hands over to the next. Each VM is paused for the jump, comes back on the new kernel, and is given back untouched if anything fails before."
    ),
    ".SH COMMANDS",
    ...commands.flatMap(command),
    ".SH OPTIONS OF EVERY COMMAND",
    ...Reference.builtIns().map(parameter),
    ".SH CONFIGURATION",
    line(
      `A flag comes before the environment, that before the file ${ConfigurationFile.defaultPath}, that before the default. agent config show --origin prints what is in effect.`
    ),
    paragraph("These are the keys of the file, each with its variable and its default:"),
    ...Settings.all.map(({ key, variable, what, values, default: value }) =>
      term(`${bold(key)}, ${bold(variable)}`, `${what}. It is ${values}. Default: ${String(value)}`)
    ),
    ".SH ENVIRONMENT",
    term(bold("LIVEUPDATE_CONFIG"), "the configuration's file; --config comes first"),
    term(
      ["NO_COLOR", "CI", "TERM=dumb"].map(bold).join(", "),
      "with any of them nothing is drawn on a terminal while a live update goes on; there are lines only"
    ),
    ".SH EXIT STATUS",
    ...exitCodes(readme).map(([codes, meaning]) => term(bold(codes), meaning)),
    ".SH FILES",
    ...files.map(([path, what]) => term(bold(path), what))
  ].join("\n")}\n`
