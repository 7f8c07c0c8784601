import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Iommufd from "../../src/Iommufd.ts"
import * as Fd from "../../src/internal/fd.ts"
import * as ioctl from "../../src/internal/ioctl.ts"
import { Kernel } from "../../src/internal/Kernel.ts"
import { O_RDWR } from "../../src/internal/uapi.ts"
import * as Kexec from "../../src/Kexec.ts"
import * as LiveUpdate from "../../src/LiveUpdate.ts"
import * as Memfd from "../../src/Memfd.ts"
import * as SimulatedHost from "../../src/SimulatedHost.ts"
import * as Token from "../../src/Token.ts"
import * as VfioDevice from "../../src/VfioDevice.ts"
import { address, load, on, RAM, request, said, sealedMemfd, tokens } from "./HandlersHost.ts"

const openIoas = Effect.flatMap(Iommufd.open, Iommufd.allocateIoas)

/** An iommufd with RAM mapped through it, in a session after its RAM, and the jump. */
const handOver = Effect.gen(function* () {
  const ioas = yield* openIoas
  const ram = yield* sealedMemfd
  yield* Iommufd.map(ioas, { memfd: ram })
  const session = yield* LiveUpdate.create("vm")
  yield* session.preserve(ram, tokens.ram)
  yield* session.preserve(ioas.iommufd, tokens.iommu)
  yield* load
  return yield* Kexec.jump
}).pipe(Effect.scoped, SimulatedHost.simulateKexec)

describe("the model's iommufd", () => {
  it.effect("maps where it is told to, or where there is room", () =>
    on()(
      Effect.gen(function* () {
        const ioas = yield* openIoas
        const memfd = yield* sealedMemfd
        const first = yield* Iommufd.map(ioas, { memfd, length: 8192 })
        assert.strictEqual(first.iova, 0n)
        yield* Iommufd.map(ioas, { memfd, iova: 0x3000n, length: 4096 })
        assert.strictEqual((yield* Iommufd.map(ioas, { memfd, length: 4096 })).iova, 0x2000n)
        assert.strictEqual((yield* Iommufd.map(ioas, { memfd, length: 8192 })).iova, 0x4000n)
        yield* Iommufd.unmap(first)
        assert.strictEqual((yield* Iommufd.map(ioas, { memfd, length: 8192 })).iova, 0n)
      })
    )
  )

  it.effect("refuses what the kernel would not map, and unmaps whole mappings only", () =>
    on()(
      Effect.gen(function* () {
        const ioas = yield* openIoas
        const memfd = yield* sealedMemfd
        const map = (options: Omit<Iommufd.MapOptions, "memfd">) => said(Iommufd.map(ioas, { memfd, ...options }))
        const mapping = yield* Iommufd.map(ioas, { memfd, iova: 0x10000n, length: 8192 })
        assert.strictEqual(yield* map({ iova: 0x11000n }), "AddressInUse EEXIST")
        assert.strictEqual(yield* map({ iova: 0x100n }), "InvalidMapping EINVAL")
        assert.strictEqual(yield* map({ length: 100 }), "InvalidMapping EINVAL")
        assert.strictEqual(yield* map({ offset: RAM, length: 4096 }), "InvalidMapping EINVAL")
        assert.strictEqual(yield* map({ iova: 2n ** 64n - 4096n }), "InvalidMapping EOVERFLOW")
        assert.strictEqual(yield* said(Iommufd.map({ ...ioas, id: 99 }, { memfd })), "ObjectNotFound ENOENT")
        const half = { ...mapping, length: 4096 }
        assert.strictEqual(yield* said(Iommufd.unmap(half)), "ObjectNotFound ENOENT")
        assert.strictEqual(yield* said(Iommufd.unmap(mapping)), "ok")
        assert.strictEqual(yield* said(Iommufd.unmap(mapping)), "ObjectNotFound ENOENT")
        const nothing = yield* Fd.openFile("/dev/null", O_RDWR)
        const fields = { ioas_id: ioas.id, start: 0n, length: 4096n, iova: 0n }
        const iommu = ioas.iommufd.fd
        assert.strictEqual(yield* request(iommu, ioctl.iommufd.mapFile, { ...fields, flags: 6, fd: nothing }), "EINVAL")
        assert.strictEqual(yield* request(iommu, ioctl.iommufd.mapFile, { ...fields, flags: 6, fd: 9999 }), "EBADF")
        assert.strictEqual(
          yield* request(iommu, ioctl.iommufd.mapFile, { ...fields, flags: 0, fd: memfd.fd }),
          "EINVAL"
        )
        assert.strictEqual(
          yield* request(iommu, ioctl.iommufd.mapFile, { ...fields, flags: 14, fd: memfd.fd }),
          "EOPNOTSUPP"
        )
        assert.strictEqual(yield* request(iommu, ioctl.vfio.getInfo, {}), "ENOTTY")
      })
    )
  )

  it.effect("keeps what is mapped after its owner has closed it, and lets go of it in the end", () =>
    on()(
      Effect.gen(function* () {
        const ioas = yield* openIoas
        yield* Effect.scoped(Effect.flatMap(sealedMemfd, (memfd) => Iommufd.map(ioas, { memfd, iova: 0n })))
        const memfd = yield* sealedMemfd
        assert.strictEqual(yield* said(Iommufd.map(ioas, { memfd, iova: 0n })), "AddressInUse EEXIST")
      })
    )
  )

  it.effect("destroys nothing that is in use", () =>
    on()(
      Effect.gen(function* () {
        const iommufd = yield* Iommufd.open
        const ioas = yield* Iommufd.allocateIoas(iommufd)
        const nic = yield* VfioDevice.bind(yield* VfioDevice.open({ address }), iommufd)
        const destroy = (id: number) => request(iommufd.fd, ioctl.iommufd.destroy, { id })
        const table = yield* Iommufd.allocatePageTable(ioas, nic)
        assert.strictEqual(yield* destroy(ioas.id), "EBUSY")
        assert.strictEqual(yield* destroy(nic.deviceId), "EBUSY")
        yield* Effect.scoped(
          Effect.gen(function* () {
            assert.strictEqual(yield* VfioDevice.attach(nic, table), table.id)
            assert.strictEqual(yield* destroy(table.id), "EBUSY")
          })
        )
        assert.strictEqual(yield* destroy(table.id), 0)
        assert.strictEqual(yield* destroy(table.id), "ENOENT")
        // The page table that attaching an address space makes is gone when it is detached.
        yield* Effect.scoped(VfioDevice.attach(nic, ioas))
        assert.strictEqual(yield* destroy(ioas.id), 0)
        const gone = yield* said(Iommufd.allocatePageTable(ioas, nic))
        assert.strictEqual(gone, "PageTableRefused EINVAL")
        assert.strictEqual(yield* said(Iommufd.allocatePageTable(ioas, { deviceId: 99 })), "ObjectNotFound ENOENT")
      })
    )
  )
})

describe("the proposed handler of iommufds", () => {
  it.effect("takes one whose memory was sealed when it was mapped", () =>
    on()(
      Effect.gen(function* () {
        const ioas = yield* openIoas
        const memfd = yield* Memfd.create({ name: "ram", size: RAM })
        const mapping = yield* Iommufd.map(ioas, { memfd, temporary: true })
        // Too late: it is mapped.
        yield* Memfd.addSeals(memfd, "seal", "grow", "shrink")
        const session = yield* LiveUpdate.create("vm")
        yield* session.preserve(memfd, tokens.ram)
        const preserve = said(session.preserve(ioas.iommufd, tokens.iommu))
        assert.strictEqual(yield* preserve, "PreserveRefused EINVAL")
        yield* Iommufd.unmap(mapping)
        assert.strictEqual(yield* preserve, "ok")
      })
    )
  )

  it.effect("takes one whose memory is in the same session", () =>
    on()(
      Effect.gen(function* () {
        const ioas = yield* openIoas
        const [one, two] = [yield* sealedMemfd, yield* sealedMemfd]
        yield* Iommufd.map(ioas, { memfd: one })
        yield* Iommufd.map(ioas, { memfd: two })
        const session = yield* LiveUpdate.create("vm")
        const preserve = said(session.preserve(ioas.iommufd, tokens.iommu))
        yield* session.preserve(one, Token.make(10n))
        assert.strictEqual(yield* preserve, "NoHandler ENOENT")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const other = yield* LiveUpdate.create("other")
            yield* other.preserve(two, Token.make(11n))
            assert.strictEqual(yield* preserve, "NoHandler ENOENT")
          })
        )
        yield* session.preserve(two, Token.make(11n))
        assert.strictEqual(yield* preserve, "ok")
      })
    )
  )

  it.effect("lets nothing change while it is preserved, and everything after", () =>
    on()(
      Effect.gen(function* () {
        const ioas = yield* openIoas
        const memfd = yield* sealedMemfd
        const mapping = yield* Iommufd.map(ioas, { memfd, length: 4096 })
        const map = Effect.map(Effect.either(Iommufd.map(ioas, { memfd, length: 4096 })), (result) => result._tag)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* LiveUpdate.create("vm")
            yield* session.preserve(memfd, tokens.ram)
            yield* session.preserve(ioas.iommufd, tokens.iommu)
            assert.strictEqual(yield* said(Iommufd.map(ioas, { memfd })), "MappingsFrozen EBUSY")
            assert.strictEqual(yield* said(Iommufd.unmap(mapping)), "MappingsFrozen EBUSY")
            const destroy = request(ioas.iommufd.fd, ioctl.iommufd.destroy, { id: ioas.id })
            assert.strictEqual(yield* destroy, "EBUSY")
            assert.strictEqual(yield* said(session.preserve(ioas.iommufd, Token.make(9n))), "AlreadyPreserved EBUSY")
          })
        )
        assert.strictEqual(yield* map, "Right")
        assert.strictEqual(yield* said(Iommufd.unmap(mapping)), "ok")
      })
    )
  )

  it.effect("holds it when its owner has closed it", () =>
    on()(
      Effect.gen(function* () {
        yield* SimulatedHost.simulateKexec(
          Effect.gen(function* () {
            yield* load
            const session = yield* LiveUpdate.create("vm")
            yield* Effect.scoped(Effect.flatMap(Iommufd.open, (file) => session.preserve(file, tokens.iommu)))
            return yield* Kexec.jump
          }).pipe(Effect.scoped)
        )
        const session = yield* LiveUpdate.retrieve("vm")
        yield* session.retrieve(Iommufd.Iommufd, tokens.iommu)
        yield* session.finish
      })
    )
  )

  it.effect("brings it back for its devices alone until its session is finished, and can be preserved again then", () =>
    on()(
      Effect.gen(function* () {
        yield* handOver
        const session = yield* LiveUpdate.retrieve("vm")
        assert.strictEqual(yield* said(session.finish), "FinishRefused EBUSY")
        const managed = yield* session.retrieve(Iommufd.Iommufd, tokens.iommu)
        const ram = yield* session.retrieve(Memfd.Memfd, tokens.ram)
        // What its type forbids, the kernel does, too.
        const fake: Iommufd.Iommufd = { kind: "iommufd", custody: "owned", fd: managed.fd }
        const carried = Iommufd.ioasAt(fake, 1)
        const sealed = yield* sealedMemfd
        assert.strictEqual(yield* said(Iommufd.map(carried, { memfd: sealed })), "MappingsFrozen EBUSY")
        // What is new is nobody's: a VMM that starts on the iommufd maps into an address space of its own.
        const own = Effect.flatMap(Iommufd.allocateIoas(fake), (ioas) => Iommufd.map(ioas, { memfd: sealed }))
        assert.strictEqual(yield* said(Effect.scoped(own)), "ok")
        const next = yield* LiveUpdate.create("next")
        assert.strictEqual(yield* said(next.preserve(fake, tokens.iommu)), "ManagedUntilFinish EBUSY")

        const finished = yield* session.finish
        const iommufd = yield* finished.own(managed)
        const memory = yield* finished.own(ram)
        yield* Iommufd.check(iommufd)
        const ioas = yield* Iommufd.allocateIoas(iommufd)
        // Nothing is mapped into an address space that is new; into the one that came along, what was.
        assert.strictEqual((yield* Iommufd.map(ioas, { memfd: memory })).iova, 0n)
        const there = Iommufd.map(Iommufd.ioasAt(iommufd, 1), { memfd: memory, iova: 0n })
        assert.strictEqual(yield* said(there), "AddressInUse EEXIST")
        yield* next.preserve(memory, tokens.ram)
        yield* next.preserve(iommufd, tokens.iommu)
      })
    )
  )

  it.effect("is not there on 7.3", () =>
    Effect.gen(function* () {
      const kernel = yield* Kernel
      const session = yield* LiveUpdate.create("vm")
      for (const kind of ["iommufd", "vfio", "kvm_vm", "guest_memfd"] as const) {
        const fd = yield* Fd.openFile("/dev/null", O_RDWR)
        assert.strictEqual(
          yield* said(session.preserve({ kind, custody: "owned", fd }, tokens.iommu)),
          "NoHandler ENOENT"
        )
      }
      assert.isNumber(kernel.readLink("/sys/bus/pci/devices/ffff:00:00.0"))
    }).pipe(Effect.scoped, Effect.provide(LiveUpdate.layerMemory({ profile: "7.3", pciDevices: [{ address }] })))
  )
})
