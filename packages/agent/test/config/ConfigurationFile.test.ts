import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { fromError } from "../../src/cli/ExitCode.ts"
import * as ConfigurationFile from "../../src/config/ConfigurationFile.ts"
import * as Temporary from "../Temporary.ts"

const problems = (source: string): ReadonlyArray<string> => {
  const parsed = ConfigurationFile.parse(source, "agent.toml")
  assert(Either.isLeft(parsed), "it is taken")
  assert.notInclude(parsed.left.message, "\n")
  assert.strictEqual(fromError(parsed.left), 2)
  return parsed.left.problems.map(({ where, problem }) => `${where}: ${problem}`)
}

const lines = (source: string): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Either.getOrThrow(ConfigurationFile.parse(source, "agent.toml")).flatMap(({ key, origin }) =>
      origin._tag === "file" ? [[key, origin.line]] : []
    )
  )

describe("what a file says", () => {
  it("each key with its line, however TOML lets it be written", () => {
    const source = [
      "# for this host",
      "",
      "hooks.directory = '/srv/hooks'",
      "[upgrade] # of all VMs",
      "max-pause = 5",
      "",
      'cmdline = """\\',
      "  liveupdate=on \\",
      '  root=/dev/vda"""',
      '"stop-others" = true',
      "deadlines = { pause = 3, 'save-state' = 4.5 }",
      "[ vm ]",
      "cpus = 2"
    ].join("\n")
    const expected = {
      "hooks.directory": 3,
      "upgrade.max-pause": 5,
      "upgrade.cmdline": 7,
      "upgrade.stop-others": 10,
      "upgrade.deadlines.pause": 11,
      "upgrade.deadlines.save-state": 11,
      "vm.cpus": 13
    }
    assert.deepStrictEqual(lines(source), expected)
    assert.deepStrictEqual(lines(source.replaceAll("\n", "\r\n")), expected)
  })

  it("an empty file says nothing", () => {
    assert.deepStrictEqual(lines(""), {})
    assert.deepStrictEqual(lines("[upgrade.deadlines]\n# none\n[vm]\n"), {})
  })

  it("unknown keys and tables, each with the nearest known one", () => {
    assert.deepStrictEqual(
      problems(
        "max-pause = 1\n[upgrade]\nstop-othrs = true\n[upgrade.deadline]\npause = 1\n[vms]\ncpus = 1\nmemory = 2\n[vm]\ncpu = 2"
      ),
      [
        'agent.toml:1: max-pause is no known key; the nearest one is "upgrade.max-pause"',
        'agent.toml:3: upgrade.stop-othrs is no known key; the nearest one is "upgrade.stop-others"',
        'agent.toml:4: upgrade.deadline is no known key; the nearest one is "upgrade.deadlines"',
        'agent.toml:6: vms is no known key; the nearest one is "vm"',
        'agent.toml:10: vm.cpu is no known key; the nearest one is "vm.cpus"'
      ]
    )
  })

  it("a key with a dot in its name is not a key in a table", () =>
    assert.match(problems('"vm.cpus" = 3')[0] ?? "", /^agent\.toml:1: "vm\.cpus" is no known key/))

  it("the jump has no deadline", () =>
    assert.match(problems("upgrade.deadlines.jump = 3")[0] ?? "", /upgrade\.deadlines\.jump is no known key/))

  it("wrong types and values, all at once, in the order of the file", () =>
    assert.deepStrictEqual(
      problems(
        [
          "[upgrade]",
          'stop-others = "yes"',
          "on-failure = 'stop'",
          "max-pause = 1.5",
          "cmdline = ''",
          "deadlines.pause = inf",
          "deadlines.verify = 0",
          "deadlines.finish = 1979-05-27",
          "deadlines.report = { seconds = 3 }",
          "[hooks]",
          "directory = 'hooks'",
          "[vm]",
          "cpus = 256",
          "machine = ['q35']"
        ].join("\n")
      ),
      [
        "agent.toml:2: upgrade.stop-others has to be true or false",
        'agent.toml:3: upgrade.on-failure has to be "abort" or "leave-behind"',
        "agent.toml:4: upgrade.max-pause has to be whole seconds, from 1 to 86400",
        'agent.toml:5: upgrade.cmdline has to be a text, or "reuse"',
        "agent.toml:6: upgrade.deadlines.pause has to be seconds, more than 0 and at most 86400",
        "agent.toml:7: upgrade.deadlines.verify has to be seconds, more than 0 and at most 86400",
        "agent.toml:8: upgrade.deadlines.finish has to be seconds, more than 0 and at most 86400",
        "agent.toml:9: upgrade.deadlines.report has to be seconds, more than 0 and at most 86400",
        "agent.toml:11: hooks.directory has to be an absolute path",
        "agent.toml:13: vm.cpus has to be a whole number from 1 to 255",
        "agent.toml:14: vm.machine has to be a text"
      ]
    ))

  it("a table that isn't one", () => {
    assert.deepStrictEqual(problems("upgrade = 3"), ["agent.toml:1: upgrade has to be a table: [upgrade]"])
    assert.deepStrictEqual(problems("\n[[vm]]\ncpus = 1"), ["agent.toml:2: vm has to be a table: [vm]"])
  })

  it("what is no TOML, with line and column", () => {
    assert.match(problems("[vm]\ncpus = = 3")[0] ?? "", /^agent\.toml:2:8: Invalid TOML document: /)
    assert.match(problems("[vm]\ncpus = 1\ncpus = 2")[0] ?? "", /^agent\.toml:3:\d+: /)
  })
})

const written = (text = "vm.cpus = 2\n") =>
  Effect.map(Temporary.directory, (directory) => {
    const path = join(directory, "agent.toml")
    Fs.writeFileSync(path, text, { mode: 0o644 })
    return { directory, path }
  })

const unsafe = (path: string) =>
  Effect.map(Effect.flip(ConfigurationFile.read(path)), (error) => {
    assert(error._tag === "ConfigurationUnsafe", error.message)
    assert.strictEqual(fromError(error), 5)
    return error
  })

describe("a file that is read", () => {
  it.scoped("says where it is", () =>
    Effect.gen(function* () {
      const { path } = yield* written()
      assert.deepStrictEqual(yield* ConfigurationFile.read(path), [
        { key: "vm.cpus", value: 2, origin: { _tag: "file", path, line: 1 } }
      ])
    })
  )

  it.scoped("has to be there when it was named; the host's own may be missing", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* written()
      const missing = join(directory, "other.toml")
      const error = yield* Effect.flip(ConfigurationFile.read(missing))
      assert.include(error.message, `${missing}: ENOENT`)
      assert.strictEqual(fromError(error), 4)
      assert.deepStrictEqual(yield* ConfigurationFile.readDefault(missing), [])
      assert.lengthOf(yield* ConfigurationFile.readDefault(path), 1)
      const other = yield* Effect.flip(ConfigurationFile.read(directory))
      assert.strictEqual(other._tag, "ConfigurationUnreadable")
      assert.strictEqual(fromError(other), 5)
    })
  )

  it.scoped("is refused when others may write it, or replace it", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* written()
      for (const mode of [0o666, 0o664, 0o646]) {
        Fs.chmodSync(path, mode)
        const error = yield* unsafe(path)
        assert.strictEqual(error.culprit, path)
        assert.include(error.message, `has the mode 0${mode.toString(8)}. chmod go-w ${path}`)
      }
      Fs.chmodSync(path, 0o600)
      Fs.chmodSync(directory, 0o777)
      assert.strictEqual((yield* unsafe(path)).culprit, directory)
      assert.strictEqual((yield* Effect.flip(ConfigurationFile.readDefault(path)))._tag, "ConfigurationUnsafe")
      // Nobody replaces in it what is another one's.
      Fs.chmodSync(directory, 0o1777)
      assert.lengthOf(yield* ConfigurationFile.read(path), 1)
    })
  )

  it.scoped("a link is as safe as what it leads to", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* written()
      const link = join(yield* Temporary.directory, "agent.toml")
      Fs.symlinkSync(path, link)
      assert.lengthOf(yield* ConfigurationFile.read(link), 1)
      Fs.chmodSync(directory, 0o777)
      assert.strictEqual((yield* unsafe(link)).culprit, directory)
    })
  )
})
