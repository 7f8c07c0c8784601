/**
 * Completions for shells, made of the commands themselves. The command line parser's own ones for bash and zsh don't know the commands
 * of a group, `agent vm start`, nor where one of several words is wanted.
 *
 * @since 0.1.0
 */
import * as Reference from "./Reference.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Shell = "bash" | "zsh" | "fish"

/** For all three shells alike. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const nameOf = ({ path }: Reference.Described): string => path.join(" ")

/** Which command it is: the last one that the words so far lead to. Values of options are passed over, as no command is called so there. */
const steps = (commands: ReadonlyArray<Reference.Described>) =>
  commands
    .filter(({ path }) => path.length > 0)
    .map(({ path }) => ({
      before: `${path.slice(0, -1).join(" ")} ${path.at(-1)}`,
      command: path.join(" ")
    }))

/** The commands of a group, or of the agent itself. */
const below = (commands: ReadonlyArray<Reference.Described>, above: Reference.Described) =>
  commands.filter(({ path }) => path.length > 0 && path.slice(0, -1).join(" ") === nameOf(above))

const namesOf = (parameters: ReadonlyArray<Reference.Parameter>): ReadonlyArray<string> =>
  parameters.flatMap(({ names }) => names)

const withValue = (parameters: ReadonlyArray<Reference.Parameter>) =>
  parameters.filter(({ value }) => value !== undefined)

const bash = (commands: ReadonlyArray<Reference.Described>, builtIns: ReadonlyArray<Reference.Parameter>): string => {
  const values = (command: string, parameters: ReadonlyArray<Reference.Parameter>) =>
    withValue(parameters).flatMap(({ names, choices }) =>
      names.map(
        (name) =>
          `        ${command}${quoted(` ${name}`)}) ${
            choices.length === 0 ? "" : `COMPREPLY=($(compgen -W ${quoted(choices.join(" "))} -- "$cur")); `
          }return ;;`
      )
    )
  const words = (command: Reference.Described) => {
    const options = namesOf([...command.options, ...builtIns])
    const line = `words=${quoted([...command.subcommands, ...options].join(" "))}`
    // Files, which bash completes when it is told nothing.
    const files = command.arguments.length === 0 ? "" : `[[ $cur == -* ]] || return; `
    return `        ${quoted(nameOf(command))}) ${files}${line} ;;`
  }
  return `# bash completion of agent(1)
_agent() {
    local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command='' words='' i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$command \${COMP_WORDS[i]}" in
${steps(commands)
  .map(({ before, command }) => `            ${quoted(before)}) command=${quoted(command)} ;;`)
  .join("\n")}
        esac
    done
    case "$command $prev" in
${[...values("*", builtIns), ...commands.flatMap((command) => values(quoted(nameOf(command)), command.options))].join("\n")}
    esac
    case "$command" in
${commands.map(words).join("\n")}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o bashdefault -o default -F _agent agent
`
}

const zsh = (commands: ReadonlyArray<Reference.Described>, builtIns: ReadonlyArray<Reference.Parameter>): string => {
  const escaped = (text: string) => text.replaceAll(/[[\]:\\]/g, "\\$&")
  const value = ({ value, choices }: Reference.Parameter) =>
    value === undefined
      ? ""
      : choices.length > 0
        ? `:value:(${choices.join(" ")})`
        : `:${value}:${value === "text" ? "_files" : " "}`
  const specs = (parameters: ReadonlyArray<Reference.Parameter>) =>
    parameters.flatMap((parameter) =>
      parameter.names.map((name) =>
        quoted(`${parameter.repeated ? "*" : ""}${name}[${escaped(parameter.description)}]${value(parameter)}`)
      )
    )
  const words = (command: Reference.Described) => {
    const lines = [
      ...specs([...command.options, ...builtIns]),
      ...(command.arguments.length === 0 ? [] : ["'*:file:_files'"]),
      ...(command.subcommands.length === 0 ? [] : ["'1:command:->command'"])
    ]
    const subcommands = below(commands, command).map(({ path, description }) =>
      quoted(`${path.at(-1)}:${escaped(description)}`)
    )
    return `        (${quoted(nameOf(command))})
            commands=(${subcommands.join(" ")})
            _arguments ${lines.join(" \\\n                ")}
            ;;`
  }
  return `#compdef agent
# zsh completion of agent(1)
_agent() {
    local command='' state line i
    local -a commands
    integer seen=1
    for ((i = 2; i < CURRENT; i++)); do
        case "$command \${words[i]}" in
${steps(commands)
  .map(({ before, command }) => `            (${quoted(before)}) command=${quoted(command)}; seen=i ;;`)
  .join("\n")}
        esac
    done
    shift $((seen - 1)) words
    ((CURRENT -= seen - 1))
    case "$command" in
${commands.map(words).join("\n")}
    esac
    [[ $state == command ]] && _describe command commands
}
if [[ $funcstack[1] == _agent ]]; then _agent "$@"; else compdef _agent agent; fi
`
}

const fish = (commands: ReadonlyArray<Reference.Described>, builtIns: ReadonlyArray<Reference.Parameter>): string => {
  const when = (command: Reference.Described) => `complete -c agent -n ${quoted(`__agent_at "${nameOf(command)}"`)}`
  const option = ({ names, value, choices, description }: Reference.Parameter) =>
    [
      ...names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)),
      ...(value === undefined
        ? []
        : choices.length > 0
          ? [`-x -a ${quoted(choices.join(" "))}`]
          : [value === "text" ? "-r -F" : "-x"]),
      `-d ${quoted(description)}`
    ].join(" ")
  const words = (command: Reference.Described) => [
    ...below(commands, command).map(
      ({ path, description }) => `${when(command)} -a ${path.at(-1)} -d ${quoted(description)}`
    ),
    ...command.options.map((parameter) => `${when(command)} ${option(parameter)}`),
    ...(command.arguments.length === 0 ? [] : [`${when(command)} -F`])
  ]
  return `# fish completion of agent(1)
function __agent_at
    set -l command ''
    for word in (commandline -opc)[2..]
        switch "$command $word"
${steps(commands)
  .map(({ before, command }) => `            case ${quoted(before)}\n                set command ${quoted(command)}`)
  .join("\n")}
        end
    end
    test "$command" = "$argv[1]"
end
complete -c agent -f
${builtIns.map((parameter) => `complete -c agent ${option(parameter)}`).join("\n")}
${commands.flatMap(words).join("\n")}
`
}

const scripts = { bash, zsh, fish } as const

/**
 * The script for a shell.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (shell: Shell): string => scripts[shell](Reference.commands(), Reference.builtIns())

/**
 * The shell that a command line asks for the completions of; what comes after `--` is another program's.
 *
 * @since 0.1.0
 * @category parsing
 */
export const asked = (argv: ReadonlyArray<string>): Shell | undefined => {
  const own = argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv
  const at = own.findIndex((word) => /^--completions(=|$)/.test(word))
  const shell = own[at]?.split("=")[1] ?? own[at + 1]
  if (at < 0) return undefined
  switch (shell) {
    case "sh":
    case "bash":
      return "bash"
    case "zsh":
    case "fish":
      return shell
    default:
      return undefined
  }
}
