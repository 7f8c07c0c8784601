// Runs inside the QEMU host, with the address of a PCI device that is bound to vfio-pci: what the real kernel says to iommufd, VFIO,
// KVM and guest_memfd, and to preserving them. Prints one JSON object.
import { readdirSync, readSync, writeSync } from "node:fs"
import * as Capabilities from "@liveupdate/sdk/Capabilities"
import * as Custody from "@liveupdate/sdk/Custody"
import * as GuestMemfd from "@liveupdate/sdk/GuestMemfd"
import * as Iommufd from "@liveupdate/sdk/Iommufd"
import * as KvmVm from "@liveupdate/sdk/KvmVm"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Token from "@liveupdate/sdk/Token"
import * as VfioDevice from "@liveupdate/sdk/VfioDevice"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Outcome from "./outcome.ts"

const address = process.argv[2] ?? ""
const MIB = 1 << 20

/** A missing handler is said with what it takes. */
const outcome = <A, R>(effect: Effect.Effect<A, LiveUpdateError, R>) =>
  Outcome.outcome(effect, (error) =>
    error._tag === "NoHandler" ? `NoHandler ${error.errno}: ${error.next}` : Outcome.said(error)
  )

const sealedMemfd = Effect.gen(function* () {
  const memfd = yield* Memfd.create({ name: "ram", size: 2 * MIB })
  yield* Memfd.addSeals(memfd, "seal", "grow", "shrink")
  return memfd
})

const memory = Effect.gen(function* () {
  const iommufd = yield* Iommufd.open
  const ioas = yield* Iommufd.allocateIoas(iommufd)
  const memfd = yield* sealedMemfd
  const unsealed = yield* Memfd.create({ name: "unsealed", size: MIB })
  const there = { memfd, iova: 0x10_0000n }
  const mapped = yield* Iommufd.map(ioas, there)
  const chosen = yield* Iommufd.map(ioas, { memfd, offset: MIB, length: MIB })
  return {
    iova: mapped.iova,
    chosenElsewhere: chosen.iova !== mapped.iova,
    again: yield* outcome(Iommufd.map(ioas, there)),
    unsealed: yield* outcome(Iommufd.map(ioas, { memfd: unsealed })),
    unmap: yield* outcome(Iommufd.unmap(mapped)),
    unmapAgain: yield* outcome(Iommufd.unmap(mapped)),
    mapOnceMore: yield* outcome(Iommufd.map(ioas, there)),
    check: yield* outcome(Iommufd.check(iommufd)),
    wrongKind: yield* outcome(Iommufd.check({ kind: "iommufd", custody: "owned", fd: memfd.fd })),
    required: (yield* iommufd.requires ?? Effect.succeed([])).map(({ fd }) => fd === memfd.fd)
  }
})

const virtualMachine = Effect.gen(function* () {
  const vm = yield* KvmVm.create()
  const guestMemory = yield* GuestMemfd.create(vm, { size: 2 * MIB })
  return {
    size: yield* GuestMemfd.size(guestMemory),
    odd: yield* outcome(GuestMemfd.create(vm, { size: 4097 })),
    type: yield* outcome(KvmVm.create({ type: 0xffff })),
    check: yield* outcome(KvmVm.check(vm)),
    checkMemory: yield* outcome(GuestMemfd.check(guestMemory)),
    wrongKind: yield* outcome(GuestMemfd.check({ kind: "guest_memfd", custody: "owned", fd: vm.fd }))
  }
})

const device = Effect.gen(function* () {
  const iommufd = yield* Iommufd.open
  const ioas = yield* Iommufd.allocateIoas(iommufd)
  const memfd = yield* sealedMemfd
  yield* Iommufd.map(ioas, { memfd, iova: 0x10_0000n })
  const opened = yield* VfioDevice.open({ address })
  const unbound = yield* outcome(VfioDevice.check(opened))
  const wrongFile = yield* outcome(VfioDevice.bind(opened, { kind: "iommufd", custody: "owned", fd: memfd.fd }))
  const bound = yield* VfioDevice.bind(opened, iommufd)
  const twice = yield* outcome(Effect.flatMap(VfioDevice.open({ address }), (other) => VfioDevice.bind(other, iommufd)))
  const attached = yield* VfioDevice.attach(bound, ioas)
  const table = yield* Iommufd.allocatePageTable(ioas, bound)
  const own = yield* VfioDevice.attach(bound, table)
  const { driver, ...facts } = yield* VfioDevice.facts(bound)
  return {
    unbound,
    wrongFile,
    twice,
    automatic: attached !== ioas.id,
    ownTable: own === table.id,
    mark: yield* outcome(Iommufd.markPageTable(table, Token.make(1n))),
    check: yield* outcome(VfioDevice.check(bound)),
    facts: { ...facts, driver: driver._tag === "Some" ? driver.value : undefined },
    mapWhileAttached: yield* outcome(Iommufd.map(ioas, { memfd: yield* sealedMemfd })),
    // Attached, the address space has the page size and the reserved regions of the device.
    crooked: yield* outcome(Iommufd.map(ioas, { memfd, iova: 0x4000_0001n })),
    interrupts: yield* outcome(Iommufd.map(ioas, { memfd, iova: 0xfee0_0000n })),
    missing: yield* outcome(VfioDevice.open({ address: "0000:00:1e.7" }))
  }
})

// docs/specs/edu.rst of QEMU: the registers in BAR 0, the device's own memory of 4 KiB at 0x40000. Region 0 of a VFIO device is BAR
// 0, region 7 its configuration space (include/uapi/linux/vfio.h, VFIO_PCI_*_REGION_INDEX), each at its number << 40.
const SOURCE = 0x80
const DESTINATION = 0x88
const COUNT = 0x90
const COMMAND = 0x98
const OWN_MEMORY = 0x40000
const PCI_COMMAND = 7 * 2 ** 40 + 4

const writeRegister = (fd: number, at: number, value: number, bytes = 4) => {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntLE(value, 0, bytes)
  writeSync(fd, buffer, 0, bytes, at)
}
const isBusy = (fd: number) => {
  const buffer = Buffer.alloc(4)
  readSync(fd, buffer, 0, 4, COMMAND)
  return (buffer.readUInt32LE() & 1) !== 0
}

/** The device copies: from memory into itself, or (command 3) from itself into memory. */
const transfer = (fd: number, source: number, destination: number, count: number, command: 1 | 3) =>
  Effect.sync(() => {
    writeRegister(fd, SOURCE, source)
    writeRegister(fd, DESTINATION, destination)
    writeRegister(fd, COUNT, count)
    writeRegister(fd, COMMAND, command)
  }).pipe(
    Effect.zipRight(
      Effect.repeat(
        Effect.sync(() => isBusy(fd)),
        { while: (busy) => busy, schedule: Schedule.spaced("10 millis") }
      )
    ),
    Effect.timeout("20 seconds"),
    Effect.orDie
  )

/** The device reads a sentence from one end of a memfd and writes it to the other, at the addresses that it was given. */
const dma = Effect.gen(function* () {
  const iommufd = yield* Iommufd.open
  const ioas = yield* Iommufd.allocateIoas(iommufd)
  const memfd = yield* sealedMemfd
  const bound = yield* VfioDevice.bind(yield* VfioDevice.open({ address }), iommufd)
  yield* VfioDevice.attach(bound, ioas)
  const low = 0x20_0000
  yield* Iommufd.map(ioas, { memfd, length: MIB, iova: BigInt(low), access: "read" })
  const high = 0x80_0000
  yield* Iommufd.map(ioas, { memfd, offset: MIB, length: MIB, iova: BigInt(high), access: "write" })
  const sentence = Buffer.from("seen by the device")
  yield* Memfd.write(memfd, 4096, sentence)
  // Memory space and bus mastering.
  yield* Effect.sync(() => writeRegister(bound.fd, PCI_COMMAND, 0x6, 2))
  yield* transfer(bound.fd, low + 4096, OWN_MEMORY, sentence.length, 1)
  yield* transfer(bound.fd, OWN_MEMORY, high + 8192, sentence.length, 3)
  return (yield* Memfd.read(memfd, MIB + 8192, sentence.length)).toString()
})

/** All of it as it would be preserved, each after what it requires. */
const preservation = Effect.gen(function* () {
  const iommufd = yield* Iommufd.open
  const ioas = yield* Iommufd.allocateIoas(iommufd)
  const memfd = yield* sealedMemfd
  yield* Iommufd.map(ioas, { memfd })
  const bound = yield* VfioDevice.bind(yield* VfioDevice.open({ address }), iommufd)
  yield* VfioDevice.attach(bound, ioas)
  const vm = yield* KvmVm.create()
  const guestMemory = yield* GuestMemfd.create(vm, { size: 2 * MIB })
  const session = yield* LiveUpdate.create("handles")
  const preserve = (file: Parameters<typeof session.preserve>[0], token: bigint) =>
    outcome(session.preserve(file, Token.make(token)))
  return {
    name: yield* session.askName,
    memfd: yield* preserve(memfd, 1n),
    iommufd: yield* preserve(iommufd, 2n),
    vfio: yield* preserve(bound, 3n),
    kvm_vm: yield* preserve(vm, 4n),
    guest_memfd: yield* preserve(guestMemory, 5n),
    unmapWhileMemfdIsPreserved: yield* Effect.flatMap(Iommufd.mappings(iommufd), ([mapping]) =>
      mapping === undefined ? Effect.succeed("nothing is mapped") : outcome(Iommufd.unmap(mapping))
    )
  }
})

const capabilities = Effect.gen(function* () {
  const withoutDevice = yield* Capabilities.probe()
  const device = yield* VfioDevice.open({ address })
  const withUnbound = yield* Capabilities.probe({ device })
  const withDevice = yield* Capabilities.probe({ device: yield* VfioDevice.bind(device, yield* Iommufd.open) })
  return {
    ...withDevice,
    vfioWithoutDevice: withoutDevice.preserves.vfio.answer,
    vfioWithUnbound: withUnbound.preserves.vfio.answer
  }
})

const openFiles = Effect.sync(() => readdirSync("/proc/self/fd").length)

const program = Effect.gen(function* () {
  yield* Effect.scoped(memory)
  const before = yield* openFiles
  const seen = {
    memory: yield* Effect.scoped(memory),
    virtualMachine: yield* Effect.scoped(virtualMachine),
    device: yield* Effect.scoped(device),
    dma: yield* Effect.scoped(dma),
    preservation: yield* Effect.scoped(preservation),
    capabilities: yield* Effect.scoped(capabilities),
    sessionsLeft: yield* outcome(Effect.scoped(LiveUpdate.create("handles")))
  }
  return { ...seen, leaked: (yield* openFiles) - before }
}).pipe(Effect.provide(LiveUpdate.layer.pipe(Layer.provide(Custody.layerMemory))))

const json = (value: unknown) =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? part.toString() : part))

process.stdout.write(`${json(await Effect.runPromise(program))}\n`)
