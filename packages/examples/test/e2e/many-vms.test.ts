/**
 * Three guests with a network of taps and a bridge go through a real kexec: the hooks make the bridge again, and each guest's tap is in it
 * when the guest counts on. Needs CONFIG_BRIDGE in the host's kernel. The same run is watched at a terminal, and its report in a browser.
 */
import * as Fs from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Report from "../../../agent/src/upgrade/report/Report.ts"
import * as Table from "../../../agent/src/upgrade/report/Table.ts"
import * as TimeLine from "../../../agent/src/upgrade/TimeLine.ts"
import * as VmSpec from "../../../agent/src/vmm/VmSpec.ts"
import * as Browser from "../../../agent/test/browser/Browser.ts"
import * as ReportPage from "../../../agent/test/browser/ReportPage.ts"
import * as Pty from "../../../agent/test/cli/Pty.ts"
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
          cmdline: TestHost.guestCommandLine("8M"),
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

  it.scoped("all of them go through a jump, watched at a terminal, and are in the bridge again", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const args = ["upgrade", "--all", "--kernel", yield* host.otherKernel, "--reuse-cmdline"]
      const pty = yield* Pty.open(TestHost.agentCommand(...args, "--host", `qemu:${host.name}`), {
        columns: 100,
        rows: 30
      })
      // Nobody tells anything between the kernels, and time goes on.
      const standsStill = (more: string) => ids.map((id) => new RegExp(`^${id} +░.*█${more} +\\d+ ms  jump$`))
      for (const more of ["", "{3}"])
        yield* pty.until((text) => standsStill(more).every((row) => text.some((line) => row.test(line))))
      assert.strictEqual(yield* pty.ended, 0, pty.text().join("\n"))

      const events = TestHost.eventsOf(yield* host.agent("status", "--output", "ndjson"))
      const ran = events.flatMap((event) =>
        event.type === "step" && event.step === "hook" && event.status === "done"
          ? [`${String(event.detail?.["hook"])} ${event.vm ?? "host"}`]
          : []
      )
      assert.deepStrictEqual(ran.sort(), ["post-boot host", ...ids.map((id) => `pre-resume ${id}`)])
      // What stays is what `agent report` says.
      const picture = Table.picture(Report.make("", events)).filter((line) => line !== "")
      const text = pty.text()
      const begin = text.indexOf(picture[0] ?? "")
      assert.deepStrictEqual(
        text.slice(begin, begin + picture.length + 1).filter((line) => line !== ""),
        picture,
        text.join("\n")
      )

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

  it.effect(
    "the report of this very run, in a browser: the figures of its events, in dark and light, without a complaint",
    () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const asked = (format: string) =>
          Effect.map(host.agent("report", "--format", format), ({ code, stderr, stdout }) => {
            assert.strictEqual(code, 0, stderr)
            return stdout
          })
        const report = Schema.decodeUnknownSync(Report.Report)(JSON.parse(yield* asked("json")))
        const page = { name: "report.html", text: yield* asked("html") }
        // The blackouts are those of the events, and somebody has spent all of each.
        const events = TestHost.eventsOf(yield* host.agent("status", "--output", "ndjson"))
        const measured = TimeLine.make(events)?.blackouts ?? assert.fail("the run's events make no time line")
        assert.deepStrictEqual(report.vms.map(({ id }) => id).sort(), ids)
        for (const { blackout, id } of report.vms) {
          const { begin, end = Number.NaN, shares } = blackout ?? assert.fail(`${id} was not paused`)
          assert.closeTo(end - begin, measured.find(({ vm }) => vm === id)?.total ?? Number.NaN, 0.01)
          const spent = Object.values(shares ?? assert.fail(`nobody has spent ${id}'s blackout`))
          for (const share of spent) assert.isAbove(share, 0)
          assert.closeTo(
            spent.reduce((sum, share) => sum + share, 0),
            end - begin,
            0.01
          )
        }
        yield* Effect.promise(async () => {
          const browser = await Browser.launch()
          try {
            for (const colorScheme of ReportPage.colorSchemes) {
              await using opened = await Browser.open(browser, page, colorScheme)
              await opened.page.screenshot({ path: ReportPage.screenshot(`host-${colorScheme}`), fullPage: true })
              await ReportPage.assertFigures(opened.page, report)
              const sums = (await ReportPage.cells(opened.page, "#blackouts")).map(([, ...figures]) =>
                figures.map((figure) => Number.parseInt(figure ?? "", 10))
              )
              // Six figures, each rounded.
              for (const [whole = Number.NaN, ...parts] of sums)
                assert.closeTo(
                  parts.reduce((sum, part) => sum + part, 0),
                  whole,
                  3
                )
              assert.deepStrictEqual(opened.complaints, [])
            }
          } finally {
            await browser.close()
          }
        })
      })
  )
})
