/**
 * Three guests with a network of taps and a bridge go through a real kexec: the hooks make the bridge again, and each guest's tap is in it
 * when the guest counts on. Needs CONFIG_BRIDGE in the host's kernel.
 */
import * as Fs from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as VmSpec from "../../../agent/src/vmm/VmSpec.ts"
import * as GuestConsole from "../../../agent/test/e2e/GuestConsole.ts"
import * as TestHost from "../../../agent/test/e2e/TestHost.ts"

const example = fileURLToPath(new URL("../../src/many-vms/", import.meta.url))
const ids = ["db-1", "web-1", "web-2"]
const hooks = ["hooks/post-boot/10-bridge", "hooks/pre-resume/10-tap"]

const hook = (name: string, vm: string) =>
  Effect.flatMap(TestHost.TestHost, (host) =>
    host.output("env", `LIVEUPDATE_VM=${vm}`, `/etc/liveupdate/hooks/${name}`)
  )

/** The interfaces in the bridge. */
const ports = Effect.flatMap(TestHost.TestHost, (host) =>
  Effect.map(host.output("ls", "/sys/class/net/br0/brif"), (names) => names.split(/\s+/).sort())
)

layer(TestHost.layer("many"), { excludeTestServices: true, timeout: "20 minutes" })("many VMs", (it) => {
  it.effect("start: the hooks are installed, and the guests run in the bridge", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.booted
      yield* host.output("mkdir", "-p", "/etc/liveupdate/hooks/post-boot", "/etc/liveupdate/hooks/pre-resume")
      for (const file of ["network", ...hooks]) {
        yield* host.write(`/etc/liveupdate/${file}`, Fs.readFileSync(join(example, file)))
        yield* host.output("chmod", "755", `/etc/liveupdate/${file}`)
      }
      yield* hook("post-boot/10-bridge", "")
      for (const id of ids) {
        const file = join(example, "vms", `${id}.toml`)
        const { args = [] } = yield* VmSpec.parse(Fs.readFileSync(file, "utf8"), file)
        // The example's guests with what they need to boot here: the demo's kernel, and less memory.
        yield* host.runVm({
          ...TestHost.demoGuest,
          id,
          memory: "64M",
          cmdline: "console=ttyS0",
          args
        })
        yield* hook("pre-resume/10-tap", id)
        yield* host.waitForTick(id)
      }
      assert.deepStrictEqual(
        yield* ports,
        ids.map((id) => `tap-${id}`)
      )
    })
  )

  it.effect("all of them go through a jump, and are in the bridge again", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const kernel = yield* host.otherKernel
      const said = yield* host.agent("upgrade", "--all", "--kernel", kernel, "--reuse-cmdline", "--output", "ndjson")
      const events = TestHost.eventsOf(said)
      const ran = events.flatMap((event) =>
        event.type === "step" && event.step === "hook" && event.status === "done"
          ? [`${String(event.detail?.["hook"])} ${event.vm ?? "host"}`]
          : []
      )
      assert.deepStrictEqual(ran.sort(), ["post-boot host", ...ids.map((id) => `pre-resume ${id}`)])
      assert.deepStrictEqual(
        yield* ports,
        ids.map((id) => `tap-${id}`)
      )
      assert.include(yield* host.output("ip", "address", "show", "br0"), "192.0.2.1/24")
      for (const id of ids) {
        const seen = yield* host.waitForTick(id)
        assert.isAbove(GuestConsole.lastTick(seen), 0)
      }
    })
  )
})
