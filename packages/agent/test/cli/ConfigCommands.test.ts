import * as Fs from "node:fs"
import { join } from "node:path"
import * as Command from "@effect/cli/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ConfigCommands from "../../src/cli/ConfigCommands.ts"
import { fromError } from "../../src/cli/ExitCode.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Temporary from "../Temporary.ts"

const cli = Command.run(ConfigCommands.command, { name: "agent config", version: "0" })

/** What goes to stdout, and the exit code with its line on stderr. */
const agent = (args: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const write = vi.spyOn(process.stdout, "write").mockReturnValue(true)
    const exit = yield* cli(["node", "agent", ...args]).pipe(
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)), { pathDelim: "_" })),
      Effect.provide(NodeContext.layer),
      Effect.either
    )
    const lines = write.mock.calls.flatMap(([text]) => String(text).trimEnd().split("\n"))
    write.mockRestore()
    return Either.isRight(exit)
      ? { code: 0, lines, said: "" }
      : { code: fromError(exit.left), lines, said: exit.left instanceof Error ? exit.left.message : "" }
  })

const file = (text: string) =>
  Effect.map(Temporary.directory, (directory) => {
    const path = join(directory, "agent.toml")
    Fs.writeFileSync(path, text, { mode: 0o644 })
    return path
  })

afterEach(() => void vi.restoreAllMocks())

describe("agent config show", () => {
  it.scoped("every value as TOML, and with --origin where it comes from", () =>
    Effect.gen(function* () {
      const path = yield* file("# ours\n[upgrade]\nmax-pause = 5\ncmdline = 'liveupdate=on'\n")
      const environment = { LIVEUPDATE_VM_CPUS: "4" }
      const plain = yield* agent(["show", "--config", path], environment)
      assert.strictEqual(plain.code, 0)
      assert.lengthOf(plain.lines, Settings.all.length)
      assert.includeMembers(plain.lines, [
        "upgrade.max-pause = 5",
        'upgrade.cmdline = "liveupdate=on"',
        "upgrade.deadlines.pause = 30",
        "vm.cpus = 4"
      ])
      const { lines } = yield* agent(["show", "--origin"], { ...environment, LIVEUPDATE_CONFIG: path })
      assert.deepStrictEqual(
        lines.map((line) => line.replace(/ +# /, " # ")).filter((line) => !line.endsWith("# default")),
        [
          `upgrade.max-pause = 5 # ${path}:3`,
          `upgrade.cmdline = "liveupdate=on" # ${path}:4`,
          "vm.cpus = 4 # LIVEUPDATE_VM_CPUS"
        ]
      )
    })
  )

  it.scoped("ndjson: an object for each setting", () =>
    Effect.gen(function* () {
      const path = yield* file("upgrade.stop-others = true\n")
      const { lines } = yield* agent(["show", "--output", "ndjson", "--config", path])
      const records = lines.map((line): unknown => JSON.parse(line))
      assert.lengthOf(records, Settings.all.length)
      assert.deepInclude(records, {
        version: 1,
        type: "setting",
        key: "upgrade.stop-others",
        value: true,
        source: "file",
        origin: `${path}:1`
      })
      assert.deepInclude(records, {
        version: 1,
        type: "setting",
        key: "vm.cpus",
        value: 1,
        source: "default",
        origin: "default"
      })
    })
  )

  it.scoped("shows nothing of a configuration that can't be used", () =>
    Effect.gen(function* () {
      const path = yield* file("upgrade.max-puase = 5\n")
      const { code, lines, said } = yield* agent(["show", "--config", path])
      assert.deepStrictEqual(
        { code, lines, said },
        {
          code: 2,
          lines: [],
          said: `${path}:1: upgrade.max-puase is no known key; the nearest one is "upgrade.max-pause"`
        }
      )
      assert.strictEqual((yield* agent(["show", "--config", `${path}.not`])).code, 4)
      Fs.chmodSync(path, 0o666)
      assert.strictEqual((yield* agent(["show", "--config", path])).code, 5)
    })
  )
})

describe("agent config check", () => {
  it.scoped("says whether a file can be used, whatever the environment says", () =>
    Effect.gen(function* () {
      const good = yield* file("[vm]\ncpus = 2\nmachine = 'q35'\n")
      const { code, lines } = yield* agent(["check", good], { LIVEUPDATE_VM_CPUS: "none" })
      assert.deepStrictEqual({ code, lines }, { code: 0, lines: [`${good} can be used: it sets 2 of the keys.`] })
      const bad = yield* file("[vm]\ncpus = 2\nmachin = 'q35'\n")
      const refused = yield* agent(["check", bad])
      assert.strictEqual(refused.code, 2)
      assert.strictEqual(refused.said, `${bad}:3: vm.machin is no known key; the nearest one is "vm.machine"`)
    })
  )
})
