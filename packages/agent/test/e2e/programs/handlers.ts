// Runs inside a QEMU host whose kernel has the test fixture's handlers, with the addresses of PCI devices that are bound to vfio-pci:
// every kind of file through a real jump. Each mode prints one JSON object.
//
//   before EDU NVME EDU2 NVME2 KERNEL SAID   a guest's RAM, its devices, a VM and its memory are preserved in a session, the RAM and the
//                                            devices of another guest in another one, and the host jumps; the object goes to a file, as
//                                            nobody hears the rest
//   after EDU NVME                           retrieved: all of the first session is looked at, finished, and owned; qemu: QEMU starts on
//                                            what is retrieved of the second one, and sees the devices
//   refused EDU NVME VF KERNEL               refusals: what is refused, and how; virtual: so is a virtual function; freeze: a jump that
//                                            the freeze refuses, and that everything works again
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import { createInterface } from "node:readline"
import * as Capabilities from "@liveupdate/sdk/Capabilities"
import * as Custody from "@liveupdate/sdk/Custody"
import * as GuestMemfd from "@liveupdate/sdk/GuestMemfd"
import * as Handle from "@liveupdate/sdk/Handle"
import * as Iommufd from "@liveupdate/sdk/Iommufd"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as KvmVm from "@liveupdate/sdk/KvmVm"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type { FreezeFailed, LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Preservation from "@liveupdate/sdk/Preservation"
import type { OutgoingSession } from "@liveupdate/sdk/Session"
import * as Token from "@liveupdate/sdk/Token"
import * as VfioDevice from "@liveupdate/sdk/VfioDevice"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as GuestPages from "./guestPages.ts"
import { outcome } from "./outcome.ts"

const [mode = "", edu = "", nvme = "", ...others] = process.argv.slice(2)
const MIB = 1 << 20
const PAGE = 4096
const GUEST = 64 * PAGE
/** The only page of the guest's memory that isn't there. */
const HOLE = 40

const tokens = Token.names({ ram: 1n, more: 2n, iommufd: 3n, edu: 4n, nvme: 5n, vm: 6n, memory: 7n })
const passedThrough = "passed-through"
const forQemu = "for-qemu"

const sealed = (name: string, size: number) =>
  Effect.tap(Memfd.create({ name, size }), (memfd) => Memfd.addSeals(memfd, "seal", "grow", "shrink"))

const text = (fd: { readonly fd: number }, at: number, bytes: number) =>
  Effect.sync(() => {
    const buffer = Buffer.alloc(bytes)
    Fs.readSync(fd.fd, buffer, 0, bytes, at)
    return buffer.toString()
  })

/** So that each page has its own. */
const words = (page: number): string => `page ${String(page).padStart(3, "0")} of the guest`
const pages = Array.from({ length: GUEST / PAGE }, (_, page) => page).filter((page) => page !== HOLE)

// Region 0 of a VFIO device is BAR 0, region 7 its configuration space (include/uapi/linux/vfio.h, VFIO_PCI_*_REGION_INDEX), each at
// its number << 40.
const CONFIGURATION = 7 * 2 ** 40
const COMMAND = CONFIGURATION + 4
const MEMORY_SPACE_AND_BUS_MASTER = 0x6

const register = (fd: number, at: number): string => {
  const buffer = Buffer.alloc(4)
  Fs.readSync(fd, buffer, 0, 4, at)
  return buffer.readUInt32LE().toString(16)
}

/** Vendor and device, and the first register of BAR 0: edu's identification, nvme's capabilities. */
const look = ({ fd }: { readonly fd: number }) =>
  Effect.sync(() => {
    Fs.writeSync(fd, Buffer.from([MEMORY_SPACE_AND_BUS_MASTER, 0]), 0, 2, COMMAND)
    return { id: register(fd, CONFIGURATION), bar: register(fd, 0) }
  })

const devices = Effect.fnUntraced(function* (edu: string, nvme: string) {
  const ram = yield* sealed("ram", 4 * MIB)
  const more = yield* sealed("more", MIB)
  yield* Memfd.write(ram, 3 * MIB, Buffer.from("in the RAM"))
  yield* Memfd.write(more, PAGE, Buffer.from("in more of it"))
  const iommufd = yield* Iommufd.open
  const ioas = yield* Iommufd.allocateIoas(iommufd)
  yield* Iommufd.map(ioas, { memfd: ram, iova: 0n })
  yield* Iommufd.map(ioas, { memfd: more, iova: 0x1000_0000n })
  const first = yield* VfioDevice.bind(yield* VfioDevice.open({ address: edu }), iommufd)
  const second = yield* VfioDevice.bind(yield* VfioDevice.open({ address: nvme }), iommufd)
  yield* VfioDevice.attach(first, ioas)
  yield* VfioDevice.attach(second, ioas)
  return { ram, more, iommufd, ioas, edu: first, nvme: second }
})

const guest = Effect.gen(function* () {
  const vm = yield* KvmVm.create()
  const memory = yield* GuestMemfd.create(vm, { size: GUEST })
  yield* Effect.sync(() => {
    for (const page of pages) GuestPages.write(memory.fd, GUEST, page * PAGE, words(page))
  })
  return { vm, memory }
})

const load = (kernel: string) =>
  Effect.suspend(() => Kexec.load({ kernel, commandLine: Fs.readFileSync("/proc/cmdline", "utf8").trim() }))

const print = (value: unknown): void => void Fs.writeSync(1, `${JSON.stringify(value)}\n`)

/** On the disk when it returns: nothing is unmounted before the jump. */
const keep = (file: string, value: unknown): void => {
  const fd = Fs.openSync(file, "w")
  Fs.writeSync(fd, JSON.stringify(value))
  Fs.fsyncSync(fd)
  Fs.closeSync(fd)
}

const before = Effect.gen(function* () {
  const [edu2 = "", nvme2 = "", kernel = "", file = ""] = others
  const files = { ...(yield* devices(edu, nvme)), ...(yield* guest) }
  const checks = {
    iommufd: yield* outcome(Iommufd.check(files.iommufd)),
    edu: yield* outcome(VfioDevice.check(files.edu)),
    nvme: yield* outcome(VfioDevice.check(files.nvme)),
    vm: yield* outcome(KvmVm.check(files.vm)),
    memory: yield* outcome(GuestMemfd.check(files.memory))
  }
  const looks = { edu: yield* look(files.edu), nvme: yield* look(files.nvme) }
  const session = yield* LiveUpdate.create(passedThrough)
  const preserved: Record<string, string> = {}
  for (const name of ["ram", "more", "iommufd", "edu", "nvme", "vm", "memory"] as const)
    preserved[name] = yield* outcome(session.preserve(files[name], tokens[name]))
  const ofQemu = yield* devices(edu2, nvme2)
  const second = yield* LiveUpdate.create(forQemu)
  for (const name of ["ram", "more", "iommufd", "edu", "nvme"] as const)
    yield* second.preserve(ofQemu[name], tokens[name])
  yield* load(kernel)
  keep(file, { checks, looks, ioas: files.ioas.id, preserved })
  return yield* Kexec.jump
})

const retrieved = Effect.gen(function* () {
  const session = yield* LiveUpdate.retrieve(passedThrough)
  const first = yield* session.retrieve(VfioDevice.VfioDevice, tokens.edu)
  const second = yield* session.retrieve(VfioDevice.VfioDevice, tokens.nvme)
  const unbound = {
    facts: (yield* VfioDevice.facts(first)).address,
    finish: yield* outcome(session.finish),
    node: yield* outcome(VfioDevice.open({ address: edu })),
    foreign: yield* outcome(Effect.flatMap(Iommufd.open, (other) => VfioDevice.bind(first, other)))
  }
  const iommufd = yield* session.retrieve(Iommufd.Iommufd, tokens.iommufd)
  const ram = yield* session.retrieve(Memfd.Memfd, tokens.ram)
  const more = yield* session.retrieve(Memfd.Memfd, tokens.more)
  const memory = yield* session.retrieve(GuestMemfd.GuestMemfd, tokens.memory)
  const vm = yield* session.retrieve(KvmVm.KvmVm, tokens.vm)
  const boundFirst = yield* VfioDevice.bind(first, iommufd)
  const oneUnbound = yield* outcome(session.finish)
  const boundSecond = yield* VfioDevice.bind(second, iommufd)
  // What the types forbid, the kernel refuses as well: a managed file is preserved again after the finish only.
  const early = yield* LiveUpdate.create("early")
  const twice: Record<string, string> = {}
  for (const [name, { fd, kind }] of Object.entries({ ram, iommufd, edu: first, vm, memory }))
    twice[name] = yield* outcome(early.preserve({ kind, custody: "owned", fd }, tokens.ram))
  // The devices took no number of their own before the address space, which has the one that it had.
  const ioas = Iommufd.ioasAt(iommufd, 1)
  const attached = {
    edu: yield* outcome(VfioDevice.attach(boundFirst, ioas)),
    nvme: yield* outcome(VfioDevice.attach(boundSecond, ioas))
  }
  const contents = {
    ram: yield* text(ram, 3 * MIB, "in the RAM".length),
    more: yield* text(more, PAGE, "in more of it".length),
    pagesLost: pages.filter(
      (page) => GuestPages.read(memory.fd, GUEST, page * PAGE, words(page).length) !== words(page)
    ).length
  }
  const looks = { edu: yield* look(boundFirst), nvme: yield* look(boundSecond) }
  const finished = yield* session.finish
  const owned = {
    vm: yield* outcome(Effect.flatMap(finished.own(vm), (own) => GuestMemfd.create(own, { size: PAGE }))),
    node: yield* outcome(VfioDevice.open({ address: edu })),
    device: yield* outcome(finished.own(boundFirst))
  }
  return { unbound, twice, oneUnbound, attached, contents, looks, owned }
})

/** A QEMU on descriptors that it inherits as 3 and on; ended with the scope. Answers what it says to commands, one after the other. */
const startQemu = (descriptors: ReadonlyArray<number>, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn("qemu-system-x86_64", [...args, "-qmp", "stdio"], {
        stdio: ["pipe", "pipe", "inherit", ...descriptors]
      })
      const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
      return { child, lines }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  ).pipe(
    Effect.map(({ child, lines }) => {
      const answer = async (): Promise<unknown> => {
        for (;;) {
          const { done, value } = await lines.next()
          if (done === true) throw new Error("QEMU has ended")
          const message = JSON.parse(value)
          if ("return" in message || "error" in message) return message
        }
      }
      return (execute: string) =>
        Effect.promise(() => {
          child.stdin?.write(`${JSON.stringify({ execute })}\n`)
          return answer()
        })
    })
  )

/** Vendor and device of all that is on the bus: `query-pci`. */
const idsOf = (answer: unknown): ReadonlyArray<string> =>
  (answer as { return: ReadonlyArray<{ devices: ReadonlyArray<{ id: { vendor: number; device: number } }> }> }).return
    .flatMap(({ devices }) => devices)
    .map(({ id }) => `${id.vendor.toString(16)}:${id.device.toString(16)}`)

const qemu = Effect.gen(function* () {
  const session = yield* LiveUpdate.retrieve(forQemu)
  const iommufd = yield* session.retrieve(Iommufd.Iommufd, tokens.iommufd)
  const first = yield* session.retrieve(VfioDevice.VfioDevice, tokens.edu)
  const second = yield* session.retrieve(VfioDevice.VfioDevice, tokens.nvme)
  const ask = yield* startQemu(
    [iommufd.fd, first.fd, second.fd],
    [
      ...["-M", "q35,accel=tcg", "-m", "64M", "-nodefaults", "-display", "none", "-S"],
      ...["-object", "iommufd,id=backend,fd=3"],
      ...["-device", "vfio-pci,iommufd=backend,fd=4,id=edu", "-device", "vfio-pci,iommufd=backend,fd=5,id=nvme"]
    ]
  )
  yield* ask("qmp_capabilities")
  const devices = idsOf(yield* ask("query-pci"))
  const { return: migration } = (yield* ask("query-migrate")) as {
    return: { "blocked-reasons"?: ReadonlyArray<string> }
  }
  return {
    devices: devices.filter((id) => ["1234:11e8", "1b36:10"].includes(id)),
    savable: migration["blocked-reasons"] === undefined,
    finish: yield* outcome(session.finish)
  }
})

const after = Effect.gen(function* () {
  print({ retrieved: yield* Effect.scoped(retrieved), qemu: yield* Effect.scoped(qemu) })
})

/** A session in a scope of its own, and what came of it. */
const inSession = <A, E, R>(use: (session: OutgoingSession) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(LiveUpdate.create("refusals"), use))

const memory = Effect.gen(function* () {
  const ram = yield* sealed("ram", MIB)
  const iommufd = yield* Iommufd.open
  const ioas = yield* Iommufd.allocateIoas(iommufd)
  const mapping = yield* Iommufd.map(ioas, { memfd: ram, iova: 0n })
  const unsealed = yield* Memfd.create({ name: "unsealed", size: MIB })
  const wrongOrder = yield* inSession((session) => outcome(session.preserve(iommufd, tokens.iommufd)))
  const frozen = yield* inSession((session) =>
    Effect.gen(function* () {
      yield* session.preserve(ram, tokens.ram)
      yield* session.preserve(iommufd, tokens.iommufd)
      return {
        twice: yield* outcome(session.preserve(iommufd, tokens.edu)),
        map: yield* outcome(Iommufd.map(ioas, { memfd: ram, iova: 0x1000_0000n })),
        unmap: yield* outcome(Iommufd.unmap(mapping))
      }
    })
  )
  const refused = yield* outcome(Iommufd.map(ioas, { memfd: unsealed, iova: 0x2000_0000n }))
  yield* Iommufd.map(ioas, { memfd: unsealed, iova: 0x2000_0000n, temporary: true })
  const mapped = yield* inSession((session) =>
    Effect.gen(function* () {
      yield* session.preserve(ram, tokens.ram)
      return yield* outcome(session.preserve(iommufd, tokens.iommufd))
    })
  )
  return { wrongOrder, ...frozen, unsealed: refused, mappedAllTheSame: mapped }
})

const device = Effect.gen(function* () {
  const opened = yield* VfioDevice.open({ address: edu })
  const unbound = yield* inSession((session) => outcome(session.preserve(opened, tokens.edu)))
  const check = yield* outcome(VfioDevice.check(opened))
  const iommufd = yield* Iommufd.open
  const ioas = yield* Iommufd.allocateIoas(iommufd)
  const bound = yield* VfioDevice.bind(opened, iommufd)
  const withoutIommufd = yield* inSession((session) => outcome(session.preserve(bound, tokens.edu)))
  const alone = Preservation.open({ session: "refusals", files: { edu: { file: bound, token: tokens.edu } } })
  const missing = yield* Effect.match(Effect.scoped(alone), {
    onFailure: ({ _tag }): string => _tag,
    onSuccess: () => "ok"
  })
  const preserved = yield* inSession((session) =>
    Effect.gen(function* () {
      yield* session.preserve(iommufd, tokens.iommufd)
      yield* session.preserve(bound, tokens.edu)
      return {
        twice: yield* outcome(session.preserve(bound, tokens.nvme)),
        attach: yield* outcome(Effect.scoped(VfioDevice.attach(bound, ioas)))
      }
    })
  )
  const afterwards = yield* outcome(Effect.scoped(VfioDevice.attach(bound, ioas)))
  return { unbound, check, withoutIommufd, missing, ...preserved, afterwards }
})

/** All is as it has to be, but for what the device is. */
const virtual = Effect.gen(function* () {
  const [address = ""] = others
  const iommufd = yield* Iommufd.open
  const bound = yield* VfioDevice.bind(yield* VfioDevice.open({ address }), iommufd)
  const check = yield* outcome(VfioDevice.check(bound))
  const preserved = yield* inSession((session) =>
    Effect.gen(function* () {
      return {
        iommufd: yield* outcome(session.preserve(iommufd, tokens.iommufd)),
        device: yield* outcome(session.preserve(bound, tokens.edu))
      }
    })
  )
  return { check, ...preserved }
})

const virtualMachine = Effect.gen(function* () {
  const { memory, vm } = yield* guest
  return yield* inSession((session) =>
    Effect.gen(function* () {
      yield* session.preserve(vm, tokens.vm)
      yield* session.preserve(memory, tokens.memory)
      return {
        vm: yield* outcome(session.preserve(vm, tokens.ram)),
        memory: yield* outcome(session.preserve(memory, tokens.ram))
      }
    })
  )
})

const refusals = Effect.gen(function* () {
  const bound = Effect.gen(function* () {
    return yield* VfioDevice.bind(yield* VfioDevice.open({ address: edu }), yield* Iommufd.open)
  })
  return {
    memory: yield* Effect.scoped(memory),
    device: yield* Effect.scoped(device),
    virtualMachine: yield* Effect.scoped(virtualMachine),
    capabilities: (yield* Effect.scoped(Effect.flatMap(bound, (device) => Capabilities.probe({ device })))).preserves
  }
})

/** Memory whose VM stays behind is what the freeze refuses, after it has reset the device that was preserved before. */
const freeze = Effect.gen(function* () {
  const [, kernel = ""] = others
  const files = yield* devices(edu, nvme)
  const { iommufd, more, ram } = files
  const { memory, vm } = yield* guest
  yield* load(kernel)
  const refused = yield* inSession((session) =>
    Effect.gen(function* () {
      yield* session.preserve(ram, tokens.ram)
      yield* session.preserve(more, tokens.more)
      yield* session.preserve(iommufd, tokens.iommufd)
      yield* session.preserve(files.edu, tokens.edu)
      yield* session.preserve(memory, tokens.memory)
      const { _tag, errno, kind, object, token } = yield* Effect.flip(Kexec.jump) as Effect.Effect<FreezeFailed>
      return {
        jump: { _tag, errno, kind, object, token: String(token) },
        device: yield* outcome(VfioDevice.bind(files.edu, iommufd)),
        sessionWorks: yield* outcome(session.preserve(vm, tokens.vm)),
        name: yield* session.askName
      }
    })
  )
  yield* Handle.close(files.edu)
  const again = yield* outcome(
    Effect.flatMap(VfioDevice.open({ address: edu }), (anew) => VfioDevice.bind(anew, iommufd))
  )
  return { ...refused, again }
})

const refused = Effect.gen(function* () {
  print({
    refusals: yield* refusals,
    virtual: yield* Effect.scoped(virtual),
    freeze: yield* Effect.scoped(freeze)
  })
})

const modes = { before, after, refused } as const

const program = Effect.suspend(
  (): Effect.Effect<unknown, LiveUpdateError> =>
    Effect.scoped(
      Object.entries(modes).find(([name]) => name === mode)?.[1] ?? Effect.die(`no such mode: ${mode}`)
    ).pipe(Effect.provide(Layer.merge(Kexec.layer, LiveUpdate.layer.pipe(Layer.provide(Custody.layerMemory)))))
)

await Effect.runPromise(program)
