import { execFileSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as Completions from "../../src/cli/Completions.ts"
import * as Reference from "../../src/cli/Reference.ts"

const commands = Reference.commands()
const byName = new Map(commands.map((command) => [command.path.join(" "), command]))
const builtIns = Reference.builtIns().flatMap(({ names }) => names)

describe("the commands as data", () => {
  it("all of them, those of groups too", () => {
    assert.includeMembers([...byName.keys()], ["", "upgrade", "vm", "vm start", "config show", "host exec"])
    assert.deepStrictEqual(byName.get("vm")?.subcommands, ["console", "list", "start", "stop"])
    for (const { path, description } of commands) assert.isNotEmpty(description, path.join(" "))
  })

  it("options and arguments, with what they take and what they are for", () => {
    const option = (command: string, name: string) =>
      byName.get(command)?.options.find(({ names }) => names.includes(name))
    assert.deepInclude(option("upgrade", "--on-failure"), { choices: ["abort", "leave-behind"], repeated: false })
    assert.deepInclude(option("upgrade", "--vm"), { value: "text", choices: [], repeated: true })
    assert.isUndefined(option("upgrade", "--dry-run")?.value)
    assert.deepStrictEqual(
      byName.get("vm stop")?.arguments.map(({ names, description }) => [names, description]),
      [[["<id>"], "the VM"]]
    )
    assert.includeMembers(builtIns, ["--help", "-h", "--version", "--log-level", "--completions"])
    for (const { path, options, arguments: args } of commands)
      for (const { names, description } of [...options, ...args]) assert.isNotEmpty(description, `${path} ${names}`)
  })
})

const shells = ["bash", "zsh", "fish"] as const

describe("completions", () => {
  for (const shell of shells)
    it(`${shell}: every command and option is in them`, () => {
      const script = Completions.render(shell)
      for (const { path, options } of commands) {
        const words = path.slice(-1)
        for (const word of [...words, ...options.flatMap(({ names }) => names)]) {
          const written = shell === "fish" ? word.replace(/^--/, "-l ") : word
          assert.match(script, new RegExp(`(^|[ '*])${written}([ '[:)]|$)`, "m"), path.join(" "))
        }
      }
    })

  /** What bash would offer for each of these lines; nothing: files. */
  const offered = (lines: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
    const tries = lines.map(
      (line) =>
        `COMP_WORDS=(${line
          .split(" ")
          .map((word) => `'${word}'`)
          .join(" ")}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _agent; echo "\${COMPREPLY[*]}"`
    )
    const output = execFileSync("bash", ["--norc", "-s"], {
      input: `${Completions.render("bash")}\n${tries.join("\n")}\n`,
      encoding: "utf8"
    })
    return output
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => line.split(" ").filter((word) => word !== ""))
  }

  it("bash: of every command its options and subcommands", () => {
    const answers = offered(commands.map(({ path }) => ["agent", ...path, "-"].join(" ")))
    commands.forEach(({ path, options }, index) =>
      assert.sameMembers(
        [...(answers[index] ?? [])],
        [...options.flatMap(({ names }) => names), ...builtIns],
        `${path}`
      )
    )
    const groups = commands.filter(({ subcommands }) => subcommands.length > 0)
    const words = offered(groups.map(({ path }) => ["agent", ...path, ""].join(" ")))
    groups.forEach(({ subcommands }, index) => assert.includeMembers([...(words[index] ?? [])], [...subcommands]))
  })

  it("bash: values where they are known, files where an option or an argument is a file", () =>
    assert.deepStrictEqual(
      offered([
        "agent upgrade --on-failure ",
        "agent config show --output n",
        "agent --log-level fa",
        "agent upgrade --kernel ",
        "agent vm start ",
        // No option's value is taken for a command.
        "agent upgrade --vm vm --on",
        "agent vm st"
      ]),
      [["abort", "leave-behind"], ["ndjson"], ["fatal"], [], [], ["--on-failure"], ["start", "stop"]]
    ))

  it("who asks for them", () => {
    const asked = (line: string) => Completions.asked(line.split(" "))
    assert.strictEqual(asked("node agent --completions sh"), "bash")
    assert.strictEqual(asked("node agent --completions=zsh"), "zsh")
    assert.strictEqual(asked("node agent vm --completions fish"), "fish")
    assert.isUndefined(asked("node agent --completions csh"))
    assert.isUndefined(asked("node agent vm list"))
    assert.isUndefined(asked("node agent host exec -- program --completions bash"))
  })
})
