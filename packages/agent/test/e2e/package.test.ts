/**
 * The agent as operators install it: its Debian package on a host, whose VM lives through everything that is done to the package.
 */
import * as Fs from "node:fs"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as AgentPackage from "../../src/cli/AgentPackage.ts"
import * as GuestConsole from "./GuestConsole.ts"
import * as TestHost from "./TestHost.ts"

const vm = "web-1"
const deb = "/root/liveupdate-agent.deb"

/** Everything of ours on the disk, but for what makes a QEMU host of the machine. */
const leftovers = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const found = yield* host.output(
    "sh",
    "-c",
    "find /etc /usr /var /run -xdev -path '*liveupdate*' ! -type d; find /usr/bin/agent /usr/share/*/*/agent /usr/share/*/*/agent.fish /usr/share/*/*/_agent /usr/share/man/man1/agent.1* 2>/dev/null; true"
  )
  return found
    .split("\n")
    .filter(
      (path) =>
        path !== "" &&
        !/liveupdate-(host|demo|channeld)|^\/run\/(systemd|udev)\/|\.conf\.d\/liveupdate\.conf|\/dpkg\/info\//.test(
          path
        )
    )
    .sort()
})

const state = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  return yield* host.inside("dpkg-query", "-W", "-f", "${db:Status-Status}", "liveupdate-agent")
})

/** The same VMM runs the same guest, which goes on counting. */
const livesThrough = <A, E, R>(what: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const vmms = host.output("pgrep", "-f", "^[^ ]*qemu-system")
    const before = yield* vmms
    const result = yield* what
    yield* host.waitForTick(vm)
    GuestConsole.assertUnharmed(yield* host.console(vm))
    assert.strictEqual(yield* vmms, before)
    return result
  })

layer(TestHost.layer("package"), { excludeTestServices: true, timeout: "20 minutes" })("Debian package", (it) => {
  it.effect("is installed by dpkg, as it was built", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.booted
      assert.strictEqual((yield* state).stdout, "installed")
      assert.strictEqual(yield* host.output("dpkg", "-V", "liveupdate-agent"), "")
      assert.strictEqual(yield* host.output("readlink", "-f", "/usr/bin/agent"), "/usr/lib/liveupdate/agent")
      assert.match(yield* host.output("agent", "--version"), /^\d+\.\d+\.\d+$/)
    })
  )

  it.effect("its unit is enabled, as its preset says, and the host is ready for a live update", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const enabled = Effect.map(
        host.output("systemctl", "list-unit-files", "--no-legend", "liveupdate-*.service"),
        (lines) => lines.split("\n").map((line) => line.trim().split(/\s+/))
      )
      const asPreset = yield* enabled
      assert.deepInclude(asPreset, ["liveupdate-resume.service", "enabled", "enabled"])
      yield* host.output("systemctl", "disable", "liveupdate-resume.service")
      yield* host.output("systemctl", "preset", "liveupdate-resume.service")
      assert.deepStrictEqual(yield* enabled, asPreset)
      const { code, stdout } = yield* host.agent("doctor")
      assert.strictEqual(code, 0, stdout)
      assert.include(
        yield* host.output("journalctl", "--list-catalog", "7f267fa8d6a94172a557e388cefbe64c"),
        "live update"
      )
    })
  )

  it.effect("its start-up snapshots are those of this machine, and were made when it was configured", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const traced = yield* host.output(
        "sh",
        "-c",
        "strace -f -qq -s 200 -e trace=execve -o /run/started agent --version >/dev/null; cat /run/started"
      )
      assert.include(traced, "/var/cache/liveupdate/agent.blob")
      assert.strictEqual(
        yield* host.output("stat", "-c", "%a %n", "/var/cache/liveupdate", "/var/lib/liveupdate/resume.blob"),
        "755 /var/cache/liveupdate\n600 /var/lib/liveupdate/resume.blob"
      )
    })
  )

  it.effect("completions, man page and licenses are where they are looked for", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const files = [
        "/usr/share/bash-completion/completions/agent",
        "/usr/share/zsh/vendor-completions/_agent",
        "/usr/share/fish/vendor_completions.d/agent.fish",
        "/usr/share/man/man1/agent.1.gz",
        "/usr/share/doc/liveupdate-agent/copyright"
      ]
      for (const file of files) yield* host.output("test", "-s", file)
      assert.include(yield* host.output("head", "-1", files[1] ?? ""), "#compdef agent")
      assert.include(yield* host.output("sh", "-c", `zcat ${files[3]}`), ".TH AGENT 1")
      const offered = yield* host.output(
        "bash",
        "-c",
        `. ${files[0]}; COMP_WORDS=(agent up); COMP_CWORD=1; _agent; echo "\${COMPREPLY[*]}"`
      )
      assert.strictEqual(offered, "upgrade")
    })
  )

  it.effect("installed over itself: the VM runs on, and what the operator has configured stays", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.runVm({ id: vm, memory: "192M", ...TestHost.demoGuest })
      yield* host.waitForTick(vm)
      yield* host.write(deb, Fs.readFileSync(yield* AgentPackage.file))
      yield* host.output("sh", "-c", "printf '[upgrade]\\nmax-pause = 21\\n' >/etc/liveupdate/agent.toml")
      const { code, stderr } = yield* livesThrough(host.inside("dpkg", "-i", deb))
      assert.strictEqual(code, 0, stderr)
      assert.include(yield* host.output("agent", "config", "show", "--origin"), "agent.toml:2")
      assert.strictEqual(yield* host.output("dpkg", "-V", "liveupdate-agent"), "??5?????? c /etc/liveupdate/agent.toml")
      yield* host.output("test", "-e", "/var/cache/liveupdate/agent.processor")
      assert.include(yield* host.output("agent", "vm", "list"), vm)
    })
  )

  it.effect("while the agent is at work it can be neither upgraded nor removed, and is there as before", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.during(
        "exec flock /run/liveupdate/host.lock sh -c 'echo ready; exec sleep 600'",
        Effect.gen(function* () {
          for (const what of [
            ["-i", deb],
            ["-r", "liveupdate-agent"]
          ]) {
            const { code, stderr } = yield* host.inside("dpkg", ...what)
            assert.strictEqual(code, 1, stderr)
            assert.include(stderr, "the agent is at work")
            assert.strictEqual((yield* state).stdout, "installed")
          }
        })
      )
      yield* host.output("test", "-e", "/var/cache/liveupdate/agent.processor")
      assert.strictEqual((yield* host.agent("doctor")).code, 0)
    })
  )

  it.effect("removed: the VM runs on, and nothing is left but configuration and what is known of VMs", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const { code, stderr } = yield* livesThrough(host.inside("dpkg", "-r", "liveupdate-agent"))
      assert.strictEqual(code, 0, stderr)
      assert.strictEqual((yield* state).stdout, "config-files")
      for (const path of yield* leftovers)
        assert.match(
          path,
          /^\/etc\/liveupdate\/agent\.toml$|^\/etc\/systemd\/system\/(sysinit|paths)\.target\.wants\/|^\/var\/lib\/systemd\/deb-systemd-helper-enabled\/|^\/var\/lib\/liveupdate\/(vms|runs|journal)|^\/run\/liveupdate\//
        )
    })
  )

  it.effect("purged while a VM runs: it runs on, and what is known of it stays for as long as it does", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const script = "/root/postrm"
      yield* host.output("cp", "/var/lib/dpkg/info/liveupdate-agent.postrm", script)
      const { code, stderr } = yield* livesThrough(host.inside("dpkg", "-P", "liveupdate-agent"))
      assert.strictEqual(code, 0, stderr)
      assert.include(stderr, "VMs are alive")
      assert.strictEqual((yield* state).code, 1)
      yield* host.output("test", "!", "-e", "/etc/liveupdate")
      yield* host.output("test", "-e", `/var/lib/liveupdate/vms/${vm}/vm.json`)

      // As a purge that comes after the VM's end.
      yield* host.output("sh", "-c", "systemctl stop 'liveupdate-vm-*.scope' && sh /root/postrm purge")
      assert.deepStrictEqual(yield* leftovers, [])
      for (const directory of ["/etc", "/usr/lib", "/var/lib", "/var/cache", "/run"])
        yield* host.output("test", "!", "-e", `${directory}/liveupdate`)
    })
  )
})
