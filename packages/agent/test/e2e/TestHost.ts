/**
 * A QEMU host for one test file: started from what the CLI would start it from, driven from outside by the built CLI as an
 * operator does it, and ended with the file, however its tests end.
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert } from "@effect/vitest"
import * as Channel from "@liveupdate/qemu-host/Channel"
import * as QemuHost from "@liveupdate/qemu-host/QemuHost"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import * as Hosts from "../../src/cli/Hosts.ts"
import * as Event from "../../src/upgrade/Event.ts"
import * as GuestConsole from "./GuestConsole.ts"
import * as KernelLog from "./KernelLog.ts"
import * as ProgramBundle from "./ProgramBundle.ts"

/** What a command left; a signal's code is as a shell gives it. */
export interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Where a VM's console is kept, inside. */
export const consoleOf = (vm: string): string => `/var/lib/liveupdate/vms/${vm}/console.log`

type Argv = readonly [string, ...Array<string>]

export class TestHost extends Context.Tag("@liveupdate/agent/test/e2e/TestHost")<
  TestHost,
  {
    readonly name: string
    /** The agent outside, told to act on this host: `agent ARGS --host qemu:NAME`. */
    readonly agent: (...args: ReadonlyArray<string>) => Effect.Effect<Said>
    /** The agent outside, its output piped into another command; its own exit code, and what came out of the pipe. */
    readonly agentInto: (command: string, ...args: ReadonlyArray<string>) => Effect.Effect<Said>
    /** A command inside. */
    readonly inside: (...argv: Argv) => Effect.Effect<Said>
    /** A command inside that has to succeed; its output, trimmed. */
    readonly output: (...argv: Argv) => Effect.Effect<string>
    /** A command inside, and how far it came if the host goes through a jump meanwhile; then it has no exit code. */
    readonly throughJump: (
      ...argv: Argv
    ) => Effect.Effect<{ readonly stdout: string; readonly code: number | undefined }>
    /** Runs `body` while a shell script runs inside, from the moment it has said "ready". */
    readonly during: <A, E, R>(script: string, body: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Bundles a program of `programs/`, and runs it inside, beside the agent. */
    readonly program: (name: string, ...args: ReadonlyArray<string>) => Effect.Effect<Said>
    /** Writes a file inside. */
    readonly write: (path: string, content: string | Uint8Array) => Effect.Effect<void>
    /** Starts a VM from a spec that lies outside: `agent vm start FILE --host qemu:NAME`. */
    readonly startVm: (spec: Readonly<Record<string, unknown>>) => Effect.Effect<Said>
    /** As `startVm`, of a VM that has to start. */
    readonly runVm: (spec: Readonly<Record<string, unknown>>) => Effect.Effect<void>
    readonly console: (vm: string) => Effect.Effect<GuestConsole.GuestConsole>
    /** Waits until the guest's console shows it. */
    readonly waitFor: (
      vm: string,
      what: string,
      there: (console: GuestConsole.GuestConsole) => boolean
    ) => Effect.Effect<GuestConsole.GuestConsole>
    /** Waits for this tick, by default for the next one: the guest runs. */
    readonly waitForTick: (vm: string, number?: number) => Effect.Effect<GuestConsole.GuestConsole>
    /** Waits until systemd has started everything. */
    readonly booted: Effect.Effect<void>
    /** Waits until the `agent resume` of this boot has ended, which has the device and the host's lock for a moment; the rest of the boot goes on. */
    readonly resumeEnded: Effect.Effect<void>
    /** Waits until there is no keeper: one that holds nothing more ends by itself, and takes its socket along. */
    readonly keeperGone: Effect.Effect<void>
    /** Waits until there is no watchdog: one whose agent has died ends when every guest runs. */
    readonly watchdogGone: Effect.Effect<void>
    /** `uname -r` */
    readonly release: Effect.Effect<string>
    readonly bootId: Effect.Effect<string>
    /** The image in /boot of another kernel than the running one. */
    readonly otherKernel: Effect.Effect<string>
    /** What a live update that is refused doesn't change: the boot id, and the names of the runs that were logged. */
    readonly history: Effect.Effect<ReadonlyArray<string>>
  }
>() {}

type Options = Pick<QemuHost.StartOptions, "passthrough" | "flavour"> & {
  /** A machine without the agent; see `Hosts.barePayload`. */
  readonly bare?: boolean
  /** Those of `programs/` that will be run: they are made while the host boots. */
  readonly programs?: ReadonlyArray<string>
}

const programOf = (name: string) => ProgramBundle.make(new URL(`programs/${name}.ts`, import.meta.url))

/**
 * What a host's command line says besides, by the flavour of its kernel. With the handlers it looks for lost memory, which makes it slow: so devices,
 * which are all there when the first process starts, aren't announced once more to udev, which nothing waits for: seconds of each boot.
 */
export const appendOf = (flavour: QemuHost.StartOptions["flavour"]): string | undefined =>
  flavour === "handlers" ? `${KernelLog.append} systemd.mask=systemd-udev-trigger.service` : undefined

const builtAgent = fileURLToPath(new URL("../../dist/program/bin.js", import.meta.url))

const runHere = (file: string, args: ReadonlyArray<string>): Effect.Effect<Said> =>
  Effect.async((resume) => {
    const child = execFile(file, [...args], { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1
      resume(Effect.succeed({ code, stdout, stderr }))
    })
    return Effect.sync(() => child.kill())
  })

/** How the agent is started on this machine. */
export const agentCommand = (...args: ReadonlyArray<string>) => [process.execPath, builtAgent, ...args] as const

/** The agent on this machine, as a process of its own. */
export const agentHere = (...args: ReadonlyArray<string>): Effect.Effect<Said> => {
  const [file, ...rest] = agentCommand(...args)
  return runHere(file, rest)
}

/** What a live update that came to its end said with `--output ndjson`. */
export const eventsOf = ({ code, stdout, stderr }: Said): ReadonlyArray<Event.Event> => {
  assert.strictEqual(code, 0, `${stderr}\n${stdout}`)
  return stdout
    .trim()
    .split("\n")
    .map((line) => Event.parse(line) ?? assert.fail(`not an event: ${line}`))
}

/**
 * A guest's command line, with so much memory that it writes and verifies, and a tick every so many milliseconds. Few of them: each character on a
 * console costs the host exits of the guest, which under emulation is most of what a guest costs that nobody looks at. And so does each look for a
 * device on the 255 buses that it doesn't have (`pcibios_fixup_peer_bridges` in `arch/x86/pci/legacy.c`): that was half of its boot.
 */
export const guestCommandLine = (pattern: string, tick = 500) =>
  `console=ttyS0 quiet pci=lastbus=0 tick=${tick} pattern=${pattern}`

/** What a VM's spec says of the demo's guest, on KVM. */
export const demoGuest = {
  accelerator: "kvm",
  // QEMU 7.2 outside emulates no processor that it could give to a guest as `host`.
  cpu: "qemu64",
  kernel: "/var/lib/liveupdate-demo/vmlinux",
  initrd: "/var/lib/liveupdate-demo/guest.cpio",
  cmdline: guestCommandLine("1M")
} as const

/** A command that waits, inside: `TestHost.resumeEnded`. */
export const resumeEnded: Argv = [
  "timeout",
  "120",
  "sh",
  "-c",
  'until [ "$(systemctl show -P InactiveEnterTimestampMonotonic liveupdate-resume 2>/dev/null)" -gt 0 ] 2>/dev/null; do sleep 0.1; done'
]

/** For `pgrep -f` and `pkill -f`; not the shell that has it on its own command line. */
export const watchdog = "[r]esume(.cjs)? --watch"

const serialLog = (directory: string) => Fs.readFileSync(`${directory}/serial.log`, "latin1").slice(-4000)

/** For the one who reads why a guest stands still: the host's state and words, the VMM's, and the guest's last ones. */
const whatIsKnown = `
exec 2>&1
echo "host: $(uname -r), boot $(cat /proc/sys/kernel/random/boot_id), up $(cut -d' ' -f1 /proc/uptime) s, load $(cut -d' ' -f1-3 /proc/loadavg)"
ps -eo pid,ppid,stat,rss,etimes,args | grep -E 'PID|qemu|agent|keeper' | grep -v grep | cut -c-150
agent vm list
for log in "/var/lib/liveupdate/vms/$1"/*.log; do echo "-- $log"; tail -n 25 "$log"; done
echo "-- dmesg"; dmesg | tail -n 40
`

const make = (label: string, { bare = false, programs = [], ...options }: Options) =>
  Effect.gen(function* () {
    const hosts = yield* QemuHost.QemuHost
    const channel = yield* Channel.Channel
    const name = `e2e-${label}-${process.pid}`
    yield* Effect.addFinalizer(() => Effect.ignore(hosts.stop(name)))
    const append = bare ? Hosts.BARE_INIT : appendOf(options.flavour)
    const payload = yield* bare ? Hosts.barePayload : Hosts.payload
    yield* Effect.forkScoped(Effect.forEach(programs, programOf))
    const { address } = yield* hosts.start(name, { ...options, append, payload }).pipe(
      Effect.tapErrorTag("HostNotReady", ({ directory }) =>
        // The log goes with the host.
        Effect.sync(() => process.stderr.write(serialLog(directory)))
      )
    )
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), `${name}-`))),
      (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
    )

    const agent = (...args: ReadonlyArray<string>) => agentHere(...args, "--host", `qemu:${name}`)
    let started = 0
    const startVm = (spec: Readonly<Record<string, unknown>>) =>
      Effect.suspend(() => {
        // One for each: several may be started at the same time.
        const file = Path.join(directory, `vm-${started++}.json`)
        Fs.writeFileSync(file, JSON.stringify(spec))
        return agent("vm", "start", file)
      })
    const inside = (...argv: Argv) =>
      channel.run(address, argv).pipe(
        Effect.map(
          ({ status, stdout, stderr }): Said => ({
            code: status._tag === "Exited" ? status.code : 128 + status.signal,
            stdout: Buffer.from(stdout).toString(),
            stderr: Buffer.from(stderr).toString()
          })
        ),
        Effect.orDie
      )
    const throughJump = (...argv: Argv) =>
      Effect.gen(function* () {
        const child = yield* channel.exec(address, argv)
        const lines: Array<string> = []
        yield* Effect.all(
          [
            Stream.runForEach(Channel.lines(child.stdout), (line) => Effect.sync(() => void lines.push(`${line}\n`))),
            Stream.runDrain(child.stderr)
          ],
          { concurrency: "unbounded" }
        )
        const code = yield* child.exit.pipe(
          Effect.map((status) => (status._tag === "Exited" ? status.code : 128 + status.signal)),
          Effect.catchTag("HostRebooted", () => Effect.succeed(undefined))
        )
        return { stdout: lines.join(""), code }
      }).pipe(Effect.scoped, Effect.orDie)
    const output = (...argv: Argv) => Effect.map(Effect.orDie(channel.output(address, argv)), (text) => text.trim())

    const during = <A, E, R>(script: string, body: Effect.Effect<A, E, R>) =>
      Effect.acquireUseRelease(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const running = yield* Scope.extend(channel.exec(address, ["sh", "-c", script]), scope)
          const ready = yield* Channel.lines(running.stdout).pipe(
            Stream.takeUntil((line) => line === "ready"),
            Stream.runLast
          )
          if (ready._tag === "None") return yield* Effect.fail(new Error(`it ended without "ready": ${script}`))
          return { running, scope }
        }).pipe(Effect.orDie),
        () => body,
        // Gone for sure before the next test begins.
        ({ running, scope }) =>
          running
            .kill(9)
            .pipe(Effect.zipRight(Effect.ignore(running.exit)), Effect.zipRight(Scope.close(scope, Exit.void)))
      )

    const write = (path: string, content: string | Uint8Array) =>
      Effect.orDie(channel.push(address, Stream.make(new Uint8Array(Buffer.from(content))), path, 0o600))

    const console = (vm: string) => Effect.map(inside("cat", consoleOf(vm)), ({ stdout }) => GuestConsole.parse(stdout))
    const waitFor = (vm: string, what: string, there: (console: GuestConsole.GuestConsole) => boolean) =>
      console(vm).pipe(
        Effect.filterOrFail(
          there,
          (seen) => new Error(`${vm}: ${what} never came; last tick ${GuestConsole.lastTick(seen)}`)
        ),
        Effect.retry(Schedule.intersect(Schedule.spaced("400 millis"), Schedule.recurs(300))),
        // The host goes with the test file: what it knows is told now.
        Effect.catchAll((error) =>
          Effect.flatMap(inside("sh", "-c", whatIsKnown, "sh", vm), ({ stdout }) =>
            Effect.die(new Error(`${error.message}\n${stdout}-- the host's console\n${serialLog(address.directory)}`))
          )
        )
      )

    return {
      name,
      agent,
      agentInto: (command, ...args) =>
        runHere("bash", ["-c", `"$@" | ${command}; exit "\${PIPESTATUS[0]}"`, "bash", ...agentCommand(...args)]),
      inside,
      output,
      throughJump,
      during,
      program: (program, ...args) =>
        Effect.gen(function* () {
          const path = ProgramBundle.inside(program)
          yield* write(path, yield* programOf(program))
          return yield* inside(...ProgramBundle.node, path, ...args)
        }),
      write,
      startVm,
      runVm: (spec) => Effect.map(startVm(spec), ({ code, stderr }) => assert.strictEqual(code, 0, stderr)),
      console,
      waitFor,
      waitForTick: (vm, number) =>
        Effect.gen(function* () {
          const wanted = number ?? GuestConsole.lastTick(yield* console(vm)) + 1
          return yield* waitFor(vm, `tick ${wanted}`, (seen) => GuestConsole.lastTick(seen) >= wanted)
        }),
      booted: Effect.asVoid(inside("systemctl", "is-system-running", "--wait")),
      resumeEnded: Effect.asVoid(output(...resumeEnded)),
      keeperGone: Effect.asVoid(
        output("timeout", "60", "sh", "-c", "while pgrep -f ^liveupdate-keeper; do sleep 0.1; done")
      ),
      watchdogGone: Effect.asVoid(
        output("timeout", "120", "sh", "-c", `while pgrep -f '${watchdog}'; do sleep 0.1; done`)
      ),
      release: output("uname", "-r"),
      bootId: output("cat", "/proc/sys/kernel/random/boot_id"),
      otherKernel: Effect.gen(function* () {
        const [running, ...images] = (yield* output("sh", "-c", "uname -r; ls /boot/vmlinuz-*")).split("\n")
        const other = images.find((image) => image !== `/boot/vmlinuz-${running}`)
        return other ?? assert.fail(`no other kernel than ${running} among ${images.join(" ")}`)
      }),
      history: Effect.map(
        output("sh", "-c", "cat /proc/sys/kernel/random/boot_id; ls /var/lib/liveupdate/runs 2>/dev/null; true"),
        (lines) => lines.split("\n")
      )
    } satisfies TestHost["Type"]
  })

/** A host of its own for a test file; `label` becomes part of its name. */
export const layer = (label: string, options: Options = {}) =>
  Layer.scoped(TestHost, make(label, options)).pipe(Layer.provide(Hosts.layer), Layer.provide(NodeContext.layer))
