import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Hooks from "@liveupdate/agent/upgrade/Hooks"
import * as VmSpec from "@liveupdate/agent/vmm/VmSpec"
import * as Effect from "effect/Effect"
import * as StandIns from "../../agent/test/StandIns.ts"
import * as Temporary from "../../agent/test/Temporary.ts"

const example = fileURLToPath(new URL("../src/many-vms/", import.meta.url))
const specs = Fs.readdirSync(join(example, "vms")).map((name) => join(example, "vms", name))
const ids = ["db-1", "web-1", "web-2"]

/** The longest name of a network interface: IFNAMSIZ in include/uapi/linux/if.h, without its NUL. */
const LONGEST_NAME = 15

/** `ip` and `agent` that write down what they are told. There is no bridge until one was added. */
const program = `#!/bin/sh
[ "$*" != "link show br0" ] || exec grep -q "ip link add br0" "$SAID"
echo "$(basename "$0") $*" >>"$SAID"
`

/** Runs it with those two found first. */
const recorded = <E>(body: Effect.Effect<void, E>) =>
  Effect.gen(function* () {
    const directory = yield* Temporary.directory
    const said = join(directory, "said")
    Fs.writeFileSync(said, "")
    const script = program.replaceAll("$SAID", said)
    yield* StandIns.inPath(directory, { ip: script, agent: script })
    yield* body
    return Fs.readFileSync(said, "utf8").trim().split("\n")
  })

const bridge = ["ip link add br0 type bridge", "ip address replace 192.0.2.1/24 dev br0", "ip link set br0 up"]

describe("many VMs", () => {
  it.effect("each spec is understood, and names a tap that can be and that its hook will find", () =>
    Effect.gen(function* () {
      const found = yield* Effect.forEach(specs, (file) => VmSpec.parse(Fs.readFileSync(file, "utf8"), file))
      assert.deepStrictEqual(
        found.map(({ id }) => id),
        ids
      )
      const macs = found.map(({ args = [], id }) => {
        const tap = `tap-${id}`
        assert.isAtMost(tap.length, LONGEST_NAME)
        assert.include(args[1], `ifname=${tap},`)
        return /mac=([^,]+)/.exec(args[3] ?? "")?.[1]
      })
      assert.strictEqual(new Set(macs).size, ids.length)
    })
  )

  it.scopedLive("the agent finds the hooks, and both may be run again", () =>
    Effect.gen(function* () {
      const { hooks, problems } = yield* Hooks.find(join(example, "hooks"))
      assert.deepStrictEqual(problems, [])
      assert.deepStrictEqual(Object.keys(hooks), ["post-boot", "pre-resume"])
      const twice = Effect.gen(function* () {
        yield* Hooks.run(hooks, "post-boot", { run: "one" })
        yield* Hooks.run(hooks, "pre-resume", { run: "one", vm: "web-1" })
      }).pipe(Effect.repeatN(1))
      const tap = "ip link set tap-web-1 master br0 up"
      assert.deepStrictEqual(yield* recorded(twice), [...bridge, tap, ...bridge.slice(1), tap])
    })
  )

  it.scopedLive("after a cold boot the same is made", () =>
    Effect.gen(function* () {
      const start = Effect.sync(() => {
        const env = { ...process.env, HOOKS: join(example, "hooks") }
        execFileSync(join(example, "start"), [join(example, "vms")], { env })
      })
      assert.deepStrictEqual(yield* recorded(start), [
        ...bridge,
        ...ids.flatMap((id) => [
          `agent vm start ${join(example, "vms", id)}.toml`,
          `ip link set tap-${id} master br0 up`
        ])
      ])
    })
  )
})
