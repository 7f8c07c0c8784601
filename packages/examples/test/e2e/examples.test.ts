/**
 * The examples that embed the agent, on a host and through two real jumps: a QEMU that something else has started is adopted, and carried by
 * the control plane; then the guest of a VMM that isn't QEMU.
 */
import { assert, layer } from "@effect/vitest"
import * as Event from "@liveupdate/agent/upgrade/Event"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as GuestConsole from "../../../agent/test/e2e/GuestConsole.ts"
import * as GuestDisk from "../../../agent/test/e2e/GuestDisk.ts"
import * as ProgramBundle from "../../../agent/test/e2e/ProgramBundle.ts"
import * as TestHost from "../../../agent/test/e2e/TestHost.ts"

const NODE = "/usr/lib/liveupdate/node"

const sources = {
  "adopt-qemu": new URL("../../src/adopt-qemu/main.ts", import.meta.url),
  "control-plane": new URL("../../src/control-plane/main.ts", import.meta.url),
  vmm: new URL("../../src/own-vmm/vmm.ts", import.meta.url),
  ownVmm: new URL("programs/ownVmm.ts", import.meta.url),
  request: new URL("programs/request.ts", import.meta.url),
  startQemu: new URL("programs/startQemu.ts", import.meta.url)
} as const

const place = (name: keyof typeof sources): string => ProgramBundle.inside(name)

/** A program inside that has to succeed; its output. */
const run = (name: keyof typeof sources, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { code, stderr, stdout } = yield* (yield* TestHost.TestHost).inside(
      ...ProgramBundle.node,
      place(name),
      ...args
    )
    assert.strictEqual(code, 0, `${name} ${args.join(" ")}: ${stderr}${stdout}`)
    return stdout
  })

const MEMORY_BYTES = 96 << 20
const home = "/var/lib/e2e/web-1"
const disk = `${home}/disk.img`
const sockets = { monitor: "/run/web-1.monitor", agent: "/run/web-1.agent", control: "/run/liveupdate/control.sock" }

/** What libvirt gives to a disk, and the agent's description of it as well. */
const deviceArgs = [
  ...["-uuid", "c7a5fdbd-edaf-9455-926a-d65c16db1809", "-blockdev"],
  JSON.stringify({ driver: "file", filename: disk, "node-name": "libvirt-1-storage", discard: "unmap" }),
  "-blockdev",
  JSON.stringify({ driver: "raw", file: "libvirt-1-storage", "node-name": "libvirt-1-format" }),
  "-device",
  "virtio-blk-pci,bus=pcie.0,addr=0x5,drive=libvirt-1-format,id=virtio-disk0"
]

const { cpu, initrd, kernel: guestKernel } = TestHost.demoGuest
const cmdline = "console=ttyS0 quiet pci=lastbus=0 tick=500"

const libvirtStyle = (machine: string) => [
  ...["-name", "guest=web-1,debug-threads=on", "-no-user-config", "-nodefaults", "-display", "none"],
  ...["-machine", `${machine},memory-backend=ram`, "-accel", "kvm", "-cpu", cpu],
  ...["-m", `size=${MEMORY_BYTES / 1024}k`, "-smp", "1,sockets=1,cores=1,threads=1"],
  "-object",
  JSON.stringify({
    "qom-type": "memory-backend-file",
    id: "ram",
    "mem-path": "/proc/self/fd/3",
    share: true,
    size: MEMORY_BYTES
  }),
  ...["-chardev", `socket,id=charmonitor,path=${sockets.monitor},server=on,wait=off`],
  ...["-mon", "chardev=charmonitor,id=monitor,mode=control"],
  ...["-qmp", `unix:${sockets.agent},server=on,wait=off`],
  ...["-chardev", `file,id=charserial0,path=${home}/console.log,append=on`],
  ...["-device", "isa-serial,chardev=charserial0,id=serial0"],
  ...["-kernel", guestKernel, "-initrd", initrd, "-append", cmdline],
  ...deviceArgs
]

/** The control plane as a service, which goes with its kernel. */
const serve = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  yield* host.output("systemd-run", "--unit=control-plane", NODE, place("control-plane"), sockets.control)
  yield* host.output("timeout", "60", "sh", "-c", `until [ -S ${sockets.control} ]; do sleep 0.1; done`)
})

interface Answer {
  readonly status: string
  readonly type: string
  readonly body: string
}

const answerOf = (text: string): Answer => {
  const [, status = "", type = "", body = ""] =
    /^(\d+) ([^\n]*)\n(.*)$/s.exec(text) ?? assert.fail(`no answer: ${text}`)
  return { status, type, body }
}

const ask = (method: string, path: string, headers: Readonly<Record<string, string>> = {}, body?: unknown) =>
  Effect.map(
    run(
      "request",
      sockets.control,
      method,
      path,
      JSON.stringify(headers),
      ...(body === undefined ? [] : [JSON.stringify(body)])
    ),
    answerOf
  )

const Problem = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Number,
  detail: Schema.String
})

const assertProblem = ({ body, status, type }: Answer, expected: readonly [number, string]) => {
  assert.strictEqual(type, "application/problem+json")
  const problem = Schema.decodeUnknownSync(Schema.parseJson(Problem))(body)
  assert.deepStrictEqual([problem.status, problem.title, status], [...expected, String(expected[0])])
}

/** Server-sent events, but for one that was cut off. */
const eventsOf = ({ body, status, type }: Answer) => {
  assert.deepStrictEqual([status, type], ["200", "text/event-stream"], body)
  return body
    .split("\n\n")
    .slice(0, -1)
    .map((message) => {
      const [, id, data = ""] = /^id: (\d+)\ndata: (.*)$/.exec(message) ?? assert.fail(`no event: ${message}`)
      return { id: Number(id), event: Event.parse(data) ?? assert.fail(`no event: ${data}`) }
    })
}

const saidOf = (told: ReturnType<typeof eventsOf>) =>
  told.map(({ event }) =>
    event.type === "step" ? `${event.step} ${event.status}` : event.type === "outcome" ? event.result : event.type
  )

const Accepted = Schema.parseJson(Schema.Struct({ run: Schema.String, events: Schema.String }))

const Looked = Schema.parseJson(Schema.Struct({ pid: Schema.Number, count: Schema.Number, intact: Schema.Boolean }))

const look = Effect.map(run("ownVmm", "look"), Schema.decodeUnknownSync(Looked))

/** In the place of the agent's second half, on a host whose VMMs are all of this kind. */
const early = `#!/bin/sh
[ -z "$NOTIFY_SOCKET" ] || exec systemd-notify --ready
exec ${NODE} ${place("ownVmm")} resume
`

layer(TestHost.layer("examples"), { excludeTestServices: true, timeout: "20 minutes" })("examples on a host", (it) => {
  it.effect("adopt-qemu: a QEMU of a libvirt-style command line becomes a VM of the agent, and runs on", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.booted
      yield* Effect.forEach(Object.entries(sources), ([name, source]) =>
        Effect.flatMap(ProgramBundle.make(source), (program) => host.write(ProgramBundle.inside(name), program))
      )
      yield* GuestDisk.make(disk)
      const machine = `${yield* host.output(
        "sh",
        "-c",
        "qemu-system-x86_64 -machine help | sed -n 's/^q35 .*(alias of \\(.*\\))$/\\1/p'"
      )},usb=off,dump-guest-core=off`
      const binary = "/usr/bin/qemu-system-x86_64"
      const pid = (yield* run(
        "startQemu",
        String(MEMORY_BYTES),
        `${home}/log`,
        binary,
        ...libvirtStyle(machine)
      )).trim()
      const ticks = `until grep -q '^tick 3 ' ${home}/console.log; do kill -0 ${pid} || exit 1; sleep 0.1; done`
      const booted = yield* host.inside("timeout", "120", "sh", "-c", ticks)
      assert.strictEqual(booted.code, 0, yield* host.output("cat", `${home}/log`))

      const config = {
        id: "web-1",
        memoryBytes: MEMORY_BYTES,
        cpus: 1,
        machine,
        accelerator: "kvm",
        cpu,
        kernel: guestKernel,
        initrd,
        cmdline,
        disks: [],
        binary,
        args: deviceArgs
      }
      yield* host.write(`${home}/config.json`, JSON.stringify(config))
      const console = `${home}/console.log`
      assert.include(
        yield* run("adopt-qemu", `${home}/config.json`, pid, sockets.agent, console),
        "VM web-1 is the agent's now"
      )
      const list = yield* host.agent("vm", "list")
      assert.match(list.stdout, new RegExp(`^web-1\\b.*running.*\\b${pid}\\b`, "m"))
    })
  )

  it.effect("control-plane: what can't be done is a problem, and nothing is touched", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* serve
      const before = yield* host.history
      const kernel = yield* host.otherKernel
      assertProblem(yield* ask("POST", "/vms/other/upgrade", {}, { kernel }), [404, "VmNotFound"])
      assertProblem(yield* ask("POST", "/vms/web-1/upgrade", {}, { kernel: 7 }), [400, "ParseError"])
      assertProblem(yield* ask("POST", "/vms/web-1/upgrade", {}, { kernel: "/etc/hostname" }), [
        422,
        "KernelImageInvalid"
      ])
      assertProblem(yield* ask("GET", "/runs/none/events"), [404, "RunNotFound"])
      assert.deepStrictEqual(yield* host.history, before)
    })
  )

  it.effect("control-plane: the adopted guest goes through a jump, and its events are told on both sides of it", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const bootId = yield* host.bootId
      const accepted = yield* ask("POST", "/vms/web-1/upgrade", {}, { kernel: yield* host.otherKernel })
      assert.strictEqual(accepted.status, "202", accepted.body)
      const { events } = Schema.decodeUnknownSync(Accepted)(accepted.body)
      // The old kernel takes its answers along where they are; what has come out is here.
      const listens = yield* Effect.fork(
        TestHost.agentHere(
          ...["host", "exec", "--name", host.name, "--"],
          ...ProgramBundle.node,
          ...[place("request"), sockets.control, "GET", events]
        )
      )
      const { stderr, stdout } = yield* Fiber.join(listens)
      assert.include(stderr, "runs a new kernel")
      const before = eventsOf(answerOf(stdout))
      assert.includeMembers(saidOf(before), ["preflight done", "load-kernel done", "preserve-running done"])
      assert.notInclude(saidOf(before), "retrieve started")
      yield* host.booted
      assert.notStrictEqual(yield* host.bootId, bootId)

      yield* serve
      const heard = before.at(-1)?.id ?? 0
      const after = eventsOf(yield* ask("GET", events, { "last-event-id": String(heard) }))
      assert.deepStrictEqual(
        after.map(({ id }) => id),
        after.map((_, index) => heard + index + 1)
      )
      assert.includeMembers(saidOf(after), ["jump started", "retrieve done", "load-state done", "finish done"])
      assert.strictEqual(saidOf(after).at(-1), "upgraded")
      // A client that has heard all of it is told so; one that says what no event was called is told everything.
      assert.deepStrictEqual(eventsOf(yield* ask("GET", events, { "last-event-id": String(after.at(-1)?.id) })), [])
      assert.strictEqual(eventsOf(yield* ask("GET", events, { "last-event-id": "none" })).at(0)?.id, 1)

      // The guest has noticed nothing. What it says now, the agent keeps.
      yield* host.waitForTick("web-1")
      const consoles = yield* host.output("cat", `${home}/console.log`, TestHost.consoleOf("web-1"))
      const seen = GuestConsole.parse(`${consoles}\n`)
      GuestConsole.assertUnharmed(seen)
      assert.deepStrictEqual(seen.complaints, [])
      assert.deepStrictEqual(GuestConsole.gaps(seen.records["vda"] ?? assert.fail("it has written no record")), [])
      const stopped = yield* host.agent("vm", "stop", "web-1")
      assert.strictEqual(stopped.code, 0, stopped.stderr)
      yield* GuestDisk.assertWhole(disk, seen.records["vda"] ?? [])
    })
  )

  it.effect("own-vmm: the memory of a guest whose VMM is no QEMU lives through a jump, and it counts on", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      // A guest of the agent's that still runs, as after a test that failed, would refuse this one.
      yield* host.booted
      yield* host.agent("vm", "stop", "web-1")
      yield* host.write("/usr/lib/liveupdate/early", early)
      yield* host.output("chmod", "755", "/usr/lib/liveupdate/early")
      yield* host.watchdogGone
      yield* run("ownVmm", "start", place("vmm"))
      const first = yield* look
      assert.isTrue(first.intact)
      const bootId = yield* host.bootId
      const kernel = yield* host.otherKernel
      const lost = yield* Effect.flip(Effect.sandbox(run("ownVmm", "upgrade", kernel)))
      assert.include(String(lost), "runs a new kernel")
      yield* host.booted
      assert.notStrictEqual(yield* host.bootId, bootId)

      const after = yield* look
      assert.isTrue(after.intact, yield* host.output("cat", "/run/liveupdate/early.log"))
      assert.isAbove(after.count, first.count)
      const later = yield* look
      assert.isAbove(later.count, after.count)
      assert.include(yield* host.output("cat", "/run/liveupdate/early.log"), `"_tag":"upgraded","run":"own-vmm"`)
    })
  )
})
