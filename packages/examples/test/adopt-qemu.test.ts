/**
 * A real QEMU, started as libvirt does it and not by the agent, is adopted, and carried by the agent through a jump of the model: another
 * QEMU, with the agent's command line, goes on with its memory and its state. The guest needs no operating system.
 */
import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Resume from "@liveupdate/agent/upgrade/Resume"
import * as RunLog from "@liveupdate/agent/upgrade/RunLog"
import * as Upgrade from "@liveupdate/agent/upgrade/Upgrade"
import * as DetachedProcess from "@liveupdate/agent/vmm/DetachedProcess"
import * as Qemu from "@liveupdate/agent/vmm/Qemu"
import * as Qmp from "@liveupdate/agent/vmm/Qmp"
import type { VmConfig } from "@liveupdate/agent/vmm/Vm"
import { VmStore } from "@liveupdate/agent/vmm/VmStore"
import { Memfd, SimulatedHost } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TickingGuest from "../../agent/test/vmm/TickingGuest.ts"
import * as Adopt from "../src/adopt-qemu/Adopt.ts"
import * as ModelHost from "./ModelHost.ts"

const deviceArgs = (disk: string) => [
  "-uuid",
  "c7a5fdbd-edaf-9455-926a-d65c16db1809",
  "-blockdev",
  JSON.stringify({ driver: "file", filename: disk, "node-name": "libvirt-1-storage", discard: "unmap" }),
  "-blockdev",
  JSON.stringify({ driver: "raw", file: "libvirt-1-storage", "node-name": "libvirt-1-format" }),
  "-device",
  "virtio-blk-pci,bus=pcie.0,addr=0x5,drive=libvirt-1-format,id=virtio-disk0,bootindex=1"
]

/** As libvirt writes it, with its RAM on descriptor 3. */
const libvirtStyle = (
  memoryBytes: number,
  machine: string,
  backend: string,
  { directory }: ModelHost.Place,
  disk: string
) => [
  ...["-name", "guest=web-1,debug-threads=on", "-no-user-config", "-nodefaults", "-display", "none"],
  ...["-machine", `${machine},memory-backend=${backend}`, "-accel", "tcg", "-cpu", "max"],
  ...["-m", `size=${memoryBytes / 1024}k`, "-smp", "1,sockets=1,cores=1,threads=1"],
  "-object",
  JSON.stringify({
    "qom-type": "memory-backend-file",
    id: backend,
    "mem-path": "/proc/self/fd/3",
    share: true,
    size: memoryBytes
  }),
  ...["-chardev", `socket,id=charmonitor,path=${join(directory, "monitor.sock")},server=on,wait=off`],
  ...["-mon", "chardev=charmonitor,id=monitor,mode=control"],
  ...["-qmp", `unix:${join(directory, "agent.sock")},server=on,wait=off`],
  ...["-chardev", `file,id=charserial0,path=${join(directory, "console.log")},append=on`],
  ...["-device", "isa-serial,chardev=charserial0,id=serial0"],
  ...deviceArgs(disk)
]

/** Somebody else's QEMU, which runs when this returns, and how it is described to the agent. */
const somebodyElses = (place: ModelHost.Place, backend = "ram") =>
  Effect.gen(function* () {
    const { disks, ...guest } = TickingGuest.make(place.directory, "web-1")
    const disk = disks[0]?.path ?? assert.fail("the guest has no disk")
    const machine = "pc-q35-7.2,usb=off,dump-guest-core=off"
    const config: VmConfig = { ...guest, machine, disks: [], args: deviceArgs(disk) }
    const log = Fs.openSync(join(place.directory, "log"), "a")
    const ram = yield* Memfd.create({ name: "somebody's", size: guest.memoryBytes })
    const args = libvirtStyle(guest.memoryBytes, machine, backend, place, disk)
    const { pid } = yield* Effect.acquireRelease(
      DetachedProcess.spawn(guest.binary, args, [log, log, ram.fd]),
      ({ kill }) => kill
    )
    const qmpPath = join(place.directory, "agent.sock")
    yield* Effect.retry(Effect.scoped(Qmp.connect(qmpPath, Qmp.COMMAND_DEADLINE)), {
      while: (error) => error._tag === "QmpConnectFailed",
      schedule: Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(500))
    })
    return { config, running: { pid, qmpPath, consolePath: join(place.directory, "console.log") } }
  })

const onAHost = <E>(body: (place: ModelHost.Place) => Effect.Effect<void, E, ModelHost.Services>) =>
  Effect.flatMap(ModelHost.place, (place) => Effect.provide(body(place), ModelHost.layer(place, Qemu.layer)))

// The agent's preflight asks for root, also where the kernel is a model.
describe("adopting a QEMU", { timeout: 60_000 }, () => {
  it.scopedLive("it goes on counting under the next kernel, in a QEMU of the agent's", () =>
    onAHost((place) =>
      Effect.gen(function* () {
        const { config, running } = yield* somebodyElses(place)
        const record = yield* Adopt.adopt(config, running)
        yield* TickingGuest.ticks(running.consolePath, 3)
        yield* Effect.addFinalizer(() => Effect.ignore(ModelHost.endVmms))
        yield* SimulatedHost.simulateKexec(
          Effect.scoped(
            Effect.flatMap(RunLog.open({ run: "one", directory: place.runs }), (log) =>
              Upgrade.upgrade(place.options, log)
            )
          )
        )
        yield* ModelHost.loseWhatTheKernelHeld(place)
        const resumed = yield* Resume.resume({ directory: place.runs, journal: place.journal, lock: place.lock })
        assert.deepStrictEqual(resumed, { _tag: "upgraded", run: "one", vms: ["web-1"] })
        const after = yield* (yield* VmStore).get("web-1")
        assert.notStrictEqual(after.pid, record.pid)
        yield* TickingGuest.ticks(after.consolePath, 3)
        const digits = TickingGuest.digits(running.consolePath) + TickingGuest.digits(after.consolePath)
        assert.include("0123456789".repeat(1 + digits.length / 10), digits)
      })
    )
  )

  it.scopedLive("what can't be carried is refused, and nothing is written", () =>
    onAHost((place) =>
      Effect.gen(function* () {
        const { config, running } = yield* somebodyElses(place, "pc.ram")
        const refused = (as: VmConfig, pid = running.pid) =>
          Effect.map(Effect.flip(Adopt.adopt(as, { ...running, pid })), ({ message }) => message)
        assert.include(yield* refused(config), 'has to be called "ram", not pc.ram')
        assert.include(yield* refused({ ...config, machine: "pc-q35-7.1" }), "its machine is pc-q35-7.2-machine")
        assert.include(yield* refused({ ...config, memoryBytes: 1 << 30 }), "it has 0 memfds of the size of its RAM")
        assert.include(yield* refused(config, 2 ** 22 + 1), "can't be looked at")
        assert.deepStrictEqual(yield* (yield* VmStore).ids, [])
      })
    )
  )
})
