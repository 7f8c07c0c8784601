import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Chosen from "../../src/cli/Chosen.ts"
import * as Effective from "../../src/config/Effective.ts"

const chosen: Chosen.Chosen = {
  vms: ["a"],
  all: false,
  abandon: [],
  stopOthers: false,
  leaveOthers: false,
  kernel: "/boot/next",
  initrd: Option.none(),
  commandLine: Option.none(),
  jump: Option.none(),
  reuse: false,
  config: Option.none()
}

/** As a file would say it. */
const configured = [
  { key: "upgrade.stop-others", value: true, origin: { _tag: "file", path: "agent.toml", line: 1 } },
  { key: "upgrade.cmdline", value: "liveupdate=on", origin: { _tag: "file", path: "agent.toml", line: 2 } },
  { key: "upgrade.deadlines.pause", value: 3, origin: { _tag: "file", path: "agent.toml", line: 3 } }
] as const

const options = (told: Partial<Chosen.Chosen>) =>
  Effect.flatMap(Effective.join([...configured, ...Chosen.said({ ...chosen, ...told })]), (effective) =>
    Chosen.upgradeOptions({ ...chosen, ...told }, effective)
  )

describe("what agent upgrade and agent plan are told", () => {
  it.effect("what the configuration says, where no flag does", () =>
    Effect.gen(function* () {
      const said = yield* options({})
      assert.strictEqual(said.stopOthers, true)
      assert.strictEqual(said.commandLine, "liveupdate=on")
      assert.strictEqual(said.hooksDirectory, "/etc/liveupdate/hooks")
      assert.deepStrictEqual(said.stopPatience, Duration.seconds(60))
      // The handover carries what was set, no more.
      assert.deepStrictEqual(said.deadlines, { pause: 3 })
    })
  )

  it.effect("flags before it", () =>
    Effect.gen(function* () {
      const said = yield* options({ leaveOthers: true, commandLine: Option.some("liveupdate=on quiet") })
      assert.strictEqual(said.stopOthers, false)
      assert.strictEqual(said.commandLine, "liveupdate=on quiet")
      assert.notStrictEqual((yield* options({ reuse: true })).commandLine, "liveupdate=on")
      assert.isUndefined((yield* options({})).jump)
      assert.isDefined((yield* options({ jump: Option.some("systemd") })).jump)
    })
  )

  it.effect("flags that contradict each other", () =>
    Effect.gen(function* () {
      const both = yield* Effect.flip(Chosen.check({ ...chosen, stopOthers: true, leaveOthers: true }))
      assert.include(both.message, "--stop-others and --no-stop-others exclude each other")
      const lines = yield* Effect.flip(Chosen.check({ ...chosen, reuse: true, commandLine: Option.some("quiet") }))
      assert.include(lines.message, "--cmdline and --reuse-cmdline exclude each other")
    })
  )

  it("goes to another host as it was given: that one has a configuration of its own", () =>
    assert.deepStrictEqual(
      [
        Chosen.forwarded(chosen),
        Chosen.forwarded({ ...chosen, leaveOthers: true, config: Option.some("/srv/a.toml") }),
        Chosen.forwarded({ ...chosen, jump: Option.some("systemd") })
      ],
      [
        ["--vm", "a", "--kernel", "/boot/next"],
        ["--vm", "a", "--no-stop-others", "--kernel", "/boot/next", "--config", "/srv/a.toml"],
        ["--vm", "a", "--kernel", "/boot/next", "--jump", "systemd"]
      ]
    ))
})
