import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { stringify } from "smol-toml"
import * as ConfigCommands from "../../src/cli/ConfigCommands.ts"
import { fromError } from "../../src/cli/ExitCode.ts"
import * as ConfigurationFile from "../../src/config/ConfigurationFile.ts"
import * as Effective from "../../src/config/Effective.ts"
import * as Origin from "../../src/config/Origin.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Temporary from "../Temporary.ts"

const inEnvironment = (variables: Readonly<Record<string, string>>) =>
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)), { pathDelim: "_" }))

const file = (text: string) =>
  Effect.map(Temporary.directory, (directory) => {
    const path = join(directory, "agent.toml")
    Fs.writeFileSync(path, text, { mode: 0o644 })
    return path
  })

const entryOf = ({ entries }: Effective.Effective, key: string) => {
  const entry = entries.find((one) => one.key === key)
  return entry === undefined ? undefined : [entry.value, Origin.render(entry.origin)]
}

/** Who may say it, the strongest last, with the value that it says. */
const speakers = ["default", "file", "environment", "flag"] as const

const values = { default: 60, file: 1, environment: 2, flag: 3 } as const

const pairs = speakers.flatMap((weaker, index) =>
  speakers.slice(index + 1).map((stronger) => [weaker, stronger] as const)
)

describe("what is in effect", () => {
  for (const [weaker, stronger] of pairs)
    it.scoped(`${stronger} before ${weaker}`, () =>
      Effect.gen(function* () {
        const both: ReadonlyArray<string> = [weaker, stronger]
        const path = yield* file(`[upgrade]\n${both.includes("file") ? "max-pause = 1\n" : ""}`)
        const effective = yield* Effective.load(
          Option.some(path),
          both.includes("flag") ? [Effective.flag("upgrade.max-pause", "--max-pause", 3)] : []
        ).pipe(inEnvironment(both.includes("environment") ? { LIVEUPDATE_UPGRADE_MAX_PAUSE: "2" } : {}))
        const origins = {
          default: "default",
          file: `${path}:2`,
          environment: "LIVEUPDATE_UPGRADE_MAX_PAUSE",
          flag: "--max-pause"
        }
        assert.deepStrictEqual(entryOf(effective, "upgrade.max-pause"), [values[stronger], origins[stronger]])
        assert.strictEqual(effective.configuration.upgrade["max-pause"], values[stronger])
        // What nobody speaks of is as it was.
        assert.deepStrictEqual(entryOf(effective, "upgrade.stop-timeout"), [60, "default"])
      })
    )

  it.scoped("the environment: every kind of value, and its own file", () =>
    Effect.gen(function* () {
      const path = yield* file("vm.cpus = 2\n")
      const effective = yield* Effective.load(Option.none()).pipe(
        inEnvironment({
          LIVEUPDATE_CONFIG: path,
          LIVEUPDATE_UPGRADE_STOP_OTHERS: "true",
          LIVEUPDATE_UPGRADE_DEADLINES_SAVE_STATE: "1.5",
          LIVEUPDATE_UPGRADE_CMDLINE: "liveupdate=on console=a,b",
          // A hook's own, which the agent may be called from.
          LIVEUPDATE_VM: "a",
          LIVEUPDATE_HOOK: "pre-pause",
          PATH: "/bin"
        })
      )
      assert.deepStrictEqual(entryOf(effective, "vm.cpus"), [2, `${path}:1`])
      assert.strictEqual(effective.configuration.upgrade["stop-others"], true)
      assert.strictEqual(effective.configuration.upgrade.cmdline, "liveupdate=on console=a,b")
      assert.deepStrictEqual(Effective.deadlines(effective), { "save-state": 1.5 })
    })
  )

  it.scoped("a file that a flag names comes before that of the environment; both have to be there", () =>
    Effect.gen(function* () {
      const path = yield* file("vm.cpus = 2\n")
      const effective = yield* Effective.load(Option.some(path)).pipe(inEnvironment({ LIVEUPDATE_CONFIG: "/none" }))
      assert.strictEqual(effective.configuration.vm.cpus, 2)
      const error = yield* Effective.load(Option.none()).pipe(
        inEnvironment({ LIVEUPDATE_CONFIG: "/none" }),
        Effect.flip
      )
      assert.include(error.message, "/none: ENOENT")
      assert.strictEqual(fromError(error), 4)
    })
  )

  it.scoped("everything that is wrong in the file and the environment, at once", () =>
    Effect.gen(function* () {
      const path = yield* file("vm.cpus = 'two'\n")
      const error = yield* Effective.load(Option.some(path)).pipe(
        inEnvironment({
          LIVEUPDATE_VM_CPU: "1",
          LIVEUPDATE_UPGRADE_MAX_PAUSE: "1e3",
          LIVEUPDATE_UPGRADE_STOP_OTHERS: "yes",
          LIVEUPDATE_UPGRADE_DEADLINES_PAUZE: "3"
        }),
        Effect.flip
      )
      assert.strictEqual(fromError(error), 2)
      assert.deepStrictEqual(error.message.split("; "), [
        `${path}:1: vm.cpus has to be a whole number from 1 to 255`,
        "LIVEUPDATE_UPGRADE_DEADLINES_PAUZE: is no known variable",
        "the nearest one is LIVEUPDATE_UPGRADE_DEADLINES_PAUSE",
        "LIVEUPDATE_VM_CPU: is no known variable",
        "the nearest one is LIVEUPDATE_VM_CPUS",
        "LIVEUPDATE_UPGRADE_MAX_PAUSE: has to be whole seconds, from 1 to 86400",
        "LIVEUPDATE_UPGRADE_STOP_OTHERS: has to be true or false"
      ])
    })
  )

  it.effect("what a flag says has to be right as well", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effective.join([Effective.flag("vm.stop-timeout", "--timeout", -1)]))
      assert.strictEqual(error.message, "--timeout: has to be whole seconds, from 0 to 86400")
    })
  )
})

/** A value that the setting takes, of all kinds that there are. */
const valueOf = (setting: Settings.Setting): FastCheck.Arbitrary<unknown> => {
  const choices = [...setting.values.matchAll(/"([a-z-]+)"/g)].map(([, word]) => word)
  const words = FastCheck.string({ unit: "binary" }).map((word) => `/${word}`)
  const candidates: Readonly<Record<Settings.Setting["kind"], FastCheck.Arbitrary<unknown>>> = {
    boolean: FastCheck.boolean(),
    number: FastCheck.oneof(FastCheck.integer({ min: 1, max: 255 }), FastCheck.double({ min: 0, max: 1e5 })),
    text: FastCheck.oneof(words, FastCheck.constantFrom(...choices, String(setting.default)))
  }
  return candidates[setting.kind].filter((value) => Either.isRight(setting.decode(value)))
}

const anyConfiguration = FastCheck.record(
  Object.fromEntries(Settings.all.map((setting) => [setting.key, valueOf(setting)] as const)),
  { requiredKeys: [] }
)

/** Tables within tables, as the TOML writer wants them. */
const nested = (said: ReadonlyArray<readonly [ReadonlyArray<string>, unknown]>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    [...new Set(said.map(([[name = ""]]) => name))].map((name) => {
      const inner = said.flatMap(([[first, ...rest], value]) => (first === name ? [[rest, value] as const] : []))
      const [[path = [], value] = []] = inner
      return [name, path.length === 0 ? value : nested(inner)]
    })
  )

const asTables = (said: Readonly<Record<string, unknown>>): string =>
  stringify(nested(Settings.all.flatMap(({ key, path }) => (key in said ? [[path, said[key]] as const] : []))))

const readBack = (text: string) =>
  Object.fromEntries(
    Either.getOrThrow(ConfigurationFile.parse(text, "agent.toml")).map(({ key, value, origin }) => {
      // The line that it is said to be in speaks of it.
      assert(origin._tag === "file")
      assert.include(text.split("\n")[origin.line - 1] ?? "", key.slice(key.lastIndexOf(".") + 1))
      return [key, value]
    })
  )

describe("a configuration that is written out is read back the same", () => {
  it.prop("as tables", [anyConfiguration], ([said]) => assert.deepStrictEqual(readBack(asTables(said)), said))

  it.prop(
    "as agent config show prints it, with and without origins",
    [anyConfiguration, FastCheck.boolean()],
    ([said, withOrigin]) => {
      const flags = Object.entries(said).map(([key, value]) => ({
        key,
        value,
        origin: { _tag: "flag", flag: "--flag" } as const
      }))
      const { entries } = Either.getOrThrow(Effective.join(flags))
      const shown = readBack(ConfigCommands.render(entries, withOrigin))
      assert.deepStrictEqual(shown, Object.fromEntries(entries.map(({ key, value }) => [key, value])))
      for (const [key, value] of Object.entries(said)) assert.strictEqual(shown[key], value)
    }
  )
})
