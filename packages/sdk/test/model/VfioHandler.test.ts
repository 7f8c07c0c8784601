import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Handle from "../../src/Handle.ts"
import * as Iommufd from "../../src/Iommufd.ts"
import * as Fd from "../../src/internal/fd.ts"
import * as ioctl from "../../src/internal/ioctl.ts"
import { Kernel } from "../../src/internal/Kernel.ts"
import { O_RDWR } from "../../src/internal/uapi.ts"
import * as Kexec from "../../src/Kexec.ts"
import * as LiveUpdate from "../../src/LiveUpdate.ts"
import * as Preservation from "../../src/Preservation.ts"
import * as SimulatedHost from "../../src/SimulatedHost.ts"
import * as VfioDevice from "../../src/VfioDevice.ts"
import { address, load, on, request, said, tokens } from "./HandlersHost.ts"

const open = VfioDevice.open({ address })

/** A device and the iommufd that it is bound to. */
const bound = Effect.gen(function* () {
  const iommu = yield* Iommufd.open
  return { iommu, nic: yield* VfioDevice.bind(yield* open, iommu) }
})

const reasons = <A, R>(operation: Effect.Effect<A, { readonly _tag: string; readonly reasons?: unknown }, R>) =>
  Effect.map(Effect.flip(operation), (error) => (error._tag === "NotPreservable" ? error.reasons : error._tag))

/** Both in a session, in their order. */
const preserveBound = Effect.gen(function* () {
  const files = yield* bound
  const session = yield* LiveUpdate.create("vm")
  yield* session.preserve(files.iommu, tokens.iommu)
  yield* session.preserve(files.nic, tokens.nic)
  return { ...files, session }
})

const handOver = Effect.gen(function* () {
  yield* preserveBound
  yield* load
  return yield* Kexec.jump
}).pipe(Effect.scoped, SimulatedHost.simulateKexec)

describe("the model's VFIO devices", () => {
  it.effect("are found by their addresses, and sysfs tells of them", () => {
    let powerState: "D0" | "D3hot" = "D0"
    const pciDevices = [
      { address: "0000:02:00.0", driver: "nvme" },
      { address, powerState: () => powerState },
      { address: "0000:01:00.1", driver: "mlx5-vfio-pci", virtualFunction: true }
    ]
    return on({ pciDevices })(
      Effect.gen(function* () {
        const facts = (where: { readonly address: string }) => Effect.flatMap(VfioDevice.open(where), VfioDevice.facts)
        const whole = { address, driver: Option.some("vfio-pci"), virtualFunction: false }
        assert.deepStrictEqual(yield* facts({ address }), { ...whole, powerState: "D0" })
        powerState = "D3hot"
        assert.deepStrictEqual(yield* facts({ address: "01:00.0" }), { ...whole, powerState: "D3hot" })
        const virtual = yield* VfioDevice.open({ path: "/dev/vfio/devices/vfio2" })
        assert.deepStrictEqual(yield* VfioDevice.facts(virtual), {
          address: "0000:01:00.1",
          driver: Option.some("mlx5-vfio-pci"),
          virtualFunction: true,
          powerState: "D0"
        })
        const refused = ["not-bound", "other-driver", "virtual-function"]
        assert.deepStrictEqual(yield* reasons(VfioDevice.check(virtual)), refused)
        assert.deepStrictEqual(yield* reasons(Effect.flatMap(open, VfioDevice.check)), ["not-bound", "not-in-d0"])
        assert.strictEqual(yield* said(VfioDevice.open({ address: "0000:02:00.0" })), "DriverMissing ENOENT")
        assert.strictEqual(yield* said(VfioDevice.open({ address: "0000:09:00.0" })), "NotFound ENOENT")
        assert.strictEqual(yield* said(VfioDevice.open({ path: "/dev/vfio/devices/vfio9" })), "DriverMissing ENOENT")
      })
    )
  })

  it.effect("do nothing before they are bound, and are bound once", () =>
    on()(
      Effect.gen(function* () {
        const iommufd = yield* Iommufd.open
        const ioas = yield* Iommufd.allocateIoas(iommufd)
        const device = yield* open
        assert.strictEqual(yield* request(device.fd, ioctl.vfio.getInfo, {}), "EINVAL")
        assert.strictEqual(yield* request(device.fd, ioctl.vfio.attach, { pt_id: ioas.id }), "EINVAL")
        const { deviceId } = yield* VfioDevice.bind(device, iommufd)
        assert.notStrictEqual(deviceId, ioas.id)
        assert.strictEqual(yield* request(device.fd, ioctl.vfio.getInfo, {}), 0)
        assert.strictEqual(yield* request(device.fd, ioctl.iommufd.allocateIoas, {}), "ENOTTY")
        assert.strictEqual(yield* said(VfioDevice.bind(device, iommufd)), "BindRefused EINVAL")
        const again = yield* open
        assert.strictEqual(yield* said(VfioDevice.bind(again, iommufd)), "BindRefused EINVAL")
        const wrong = { ...iommufd, fd: device.fd }
        assert.strictEqual(yield* said(VfioDevice.bind(again, wrong)), "WrongKind EBADFD")
        assert.strictEqual(yield* said(VfioDevice.bind(again, { ...iommufd, fd: 9999 })), "HandleClosed EBADF")
      })
    )
  )

  it.effect("keep their iommufd alive, whoever closes it", () =>
    on()(
      Effect.gen(function* () {
        const { iommu, nic } = yield* bound
        const ioas = yield* Iommufd.allocateIoas(iommu)
        yield* Handle.close(iommu)
        assert.strictEqual(yield* said(VfioDevice.attach(nic, ioas)), "ok")
      })
    )
  )

  it.effect("are free for the next one when they are closed", () =>
    on()(
      Effect.gen(function* () {
        yield* Effect.scoped(bound)
        const { iommu, nic } = yield* bound
        const ioas = yield* Iommufd.allocateIoas(iommu)
        assert.isAbove(yield* VfioDevice.attach(nic, ioas), 0)
        assert.strictEqual(yield* said(VfioDevice.attach(nic, { ...ioas, id: 99 })), "ObjectNotFound ENOENT")
        const itself = { ...ioas, id: nic.deviceId }
        assert.strictEqual(yield* said(VfioDevice.attach(nic, itself)), "PageTableRefused EINVAL")
      })
    )
  )
})

describe("the proposed handler of VFIO devices", () => {
  it.effect("takes vfio-pci's whole devices, once they are bound", () => {
    const pciDevices = [
      { address },
      { address: "0000:01:00.1", virtualFunction: true },
      { address: "0000:03:00.0", driver: "mlx5-vfio-pci" }
    ]
    return on({ pciDevices })(
      Effect.gen(function* () {
        const iommufd = yield* Iommufd.open
        const session = yield* LiveUpdate.create("vm")
        yield* session.preserve(iommufd, tokens.iommu)
        const preserve = (device: VfioDevice.VfioDevice) => said(session.preserve(device, tokens.nic))
        for (const { address } of pciDevices.slice(1)) {
          const device = yield* VfioDevice.bind(yield* VfioDevice.open({ address }), iommufd)
          assert.strictEqual(yield* preserve(device), "NoHandler ENOENT")
        }
        const device = yield* open
        assert.strictEqual(yield* preserve(device), "NoHandler ENOENT")
        yield* VfioDevice.bind(device, iommufd)
        assert.strictEqual(yield* preserve(device), "ok")
      })
    )
  })

  it.effect("takes a device whose iommufd is in the same session", () =>
    on()(
      Effect.gen(function* () {
        const { iommu, nic } = yield* bound
        const session = yield* LiveUpdate.create("vm")
        const preserve = said(session.preserve(nic, tokens.nic))
        assert.strictEqual(yield* preserve, "NoHandler ENOENT")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const other = yield* LiveUpdate.create("other")
            yield* other.preserve(iommu, tokens.iommu)
            assert.strictEqual(yield* preserve, "NoHandler ENOENT")
          })
        )
        yield* session.preserve(iommu, tokens.iommu)
        assert.strictEqual(yield* preserve, "ok")
      })
    )
  )

  it.effect("holds a device and its iommufd when their owner has closed them", () =>
    on()(
      Effect.gen(function* () {
        // Not the SDK's session, which has a descriptor of its own of every file that it preserved.
        const kernel = yield* Kernel
        const device = yield* Fd.openFile(LiveUpdate.device, O_RDWR)
        const created = ioctl.sessionArgument("vm")
        assert.strictEqual(kernel.ioctl(device, ioctl.CREATE_SESSION, created), 0)
        const session = ioctl.returnedFd(created)
        const again = said(Effect.scoped(bound))
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { iommu, nic } = yield* bound
            for (const [{ fd }, token] of [
              [iommu, tokens.iommu],
              [nic, tokens.nic]
            ] as const)
              assert.strictEqual(kernel.ioctl(session, ioctl.PRESERVE_FD, ioctl.fileArgument(fd, token)), 0)
          })
        )
        assert.strictEqual(yield* again, "BindRefused EINVAL")
        kernel.close(session)
        assert.strictEqual(yield* again, "ok")
      })
    )
  )

  it.effect("leaves a preserved device where it is", () =>
    on()(
      Effect.gen(function* () {
        const { iommu, nic } = yield* bound
        const ioas = yield* Iommufd.allocateIoas(iommu)
        const other = yield* Iommufd.allocateIoas(iommu)
        yield* VfioDevice.attach(nic, ioas)
        const attach = said(Effect.scoped(VfioDevice.attach(nic, other)))
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* LiveUpdate.create("vm")
            yield* session.preserve(iommu, tokens.iommu)
            yield* session.preserve(nic, tokens.nic)
            assert.strictEqual(yield* attach, "DeviceInUse EBUSY")
            assert.strictEqual(yield* request(nic.fd, ioctl.vfio.detach, {}), "EBUSY")
          })
        )
        assert.strictEqual(yield* attach, "ok")
      })
    )
  )

  const unfit: ReadonlyArray<readonly [string, Pick<SimulatedHost.PciDevice, "interruptsOn" | "powerState">]> = [
    ["whose interrupts are on", { interruptsOn: () => true }],
    ["that sleeps", { powerState: () => "D3hot" }]
  ]
  for (const [what, state] of unfit)
    it.effect(`refuses to freeze a device ${what}; the jump fails, and succeeds when that is put right`, () => {
      const device = { ...state, address }
      return on({ pciDevices: [device] })(
        Effect.gen(function* () {
          const answers: Array<string | number> = []
          const before = Effect.gen(function* () {
            const { nic } = yield* preserveBound
            yield* load
            answers.push(yield* said(Kexec.jump), yield* request(nic.fd, ioctl.vfio.getInfo, {}))
            Object.assign(device, { interruptsOn: () => false, powerState: () => "D0" })
            return yield* Kexec.jump
          })
          yield* SimulatedHost.simulateKexec(Effect.scoped(before))
          // It was not reset by the one that failed.
          assert.deepStrictEqual(answers, ["FreezeFailed EINVAL", 0])
        })
      )
    })

  it.effect("has reset a device when the jump fails after it: it answers EIO until it is opened anew", () =>
    on({ faults: { freeze: ({ token }) => (token === tokens.ram ? "EIO" : undefined) } })(
      Effect.gen(function* () {
        yield* load
        const iommufd = yield* Iommufd.open
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { iommu, nic, session } = yield* preserveBound
            yield* session.preserve(iommufd, tokens.ram)
            // Said before, and that is how it is.
            assert.strictEqual((yield* VfioDevice.check(nic)).fate, "lost")
            assert.strictEqual((yield* Iommufd.check(iommu)).fate, "kept")
            assert.strictEqual(yield* said(Kexec.jump), "FreezeFailed EIO")
            assert.strictEqual(yield* request(nic.fd, ioctl.vfio.getInfo, {}), "EIO")
            assert.strictEqual(yield* said(VfioDevice.bind(nic, iommufd)), "DeviceGone EIO")
          })
        )
        const { iommu, nic } = yield* bound
        const ioas = yield* Iommufd.allocateIoas(iommu)
        assert.strictEqual(yield* said(VfioDevice.attach(nic, ioas)), "ok")
      })
    )
  )

  it.effect("brings a device back for its own iommufd, and its session is finished when it is bound", () =>
    on()(
      Effect.gen(function* () {
        yield* handOver
        const session = yield* LiveUpdate.retrieve("vm")
        const iommu = yield* session.retrieve(Iommufd.Iommufd, tokens.iommu)
        assert.strictEqual(yield* said(session.finish), "FinishRefused EBUSY")
        const nic = yield* session.retrieve(VfioDevice.VfioDevice, tokens.nic)
        assert.deepInclude(yield* VfioDevice.facts(nic), { address })
        assert.strictEqual(yield* said(open), "DeviceInUse EBUSY")
        assert.strictEqual(yield* request(nic.fd, ioctl.vfio.getInfo, {}), "EINVAL")
        assert.strictEqual(yield* said(session.finish), "FinishRefused EBUSY")
        const other = yield* Iommufd.open
        assert.strictEqual(yield* said(VfioDevice.bind(nic, other)), "NotIsolated EPERM")
        const bound = yield* VfioDevice.bind(nic, iommu)
        assert.strictEqual(bound.custody, "managed")
        const finished = yield* session.finish

        // It is an ordinary device now: others may open it, and its owner may preserve it again.
        assert.strictEqual(yield* said(open), "ok")
        const iommufd = yield* finished.own(iommu)
        const owned = VfioDevice.withIommufd(yield* finished.own(bound), iommufd)
        assert.deepStrictEqual(yield* owned.requires ?? Effect.succeed([]), [iommufd])
        const files = { nic: { file: owned, token: tokens.nic }, iommu: { file: iommufd, token: tokens.iommu } }
        yield* Preservation.preserve({ session: "again", files }, Schema.Null, null)
      })
    )
  )

  it.effect("retrieves a device before its iommufd just as well", () =>
    on()(
      Effect.gen(function* () {
        yield* handOver
        const session = yield* LiveUpdate.retrieve("vm")
        const nic = yield* session.retrieve(VfioDevice.VfioDevice, tokens.nic)
        const other = yield* Iommufd.open
        assert.strictEqual(yield* said(VfioDevice.bind(nic, other)), "NotIsolated EPERM")
        yield* VfioDevice.bind(nic, yield* session.retrieve(Iommufd.Iommufd, tokens.iommu))
        yield* session.finish
      })
    )
  )
})
