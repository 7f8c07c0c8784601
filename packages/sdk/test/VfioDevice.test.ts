import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Iommufd from "../src/Iommufd.ts"
import { EBUSY, EINVAL, EIO, ENODEV, ENOENT, EPERM } from "../src/internal/errno.ts"
import * as Token from "../src/Token.ts"
import * as VfioDevice from "../src/VfioDevice.ts"
import * as FakeHardware from "./FakeHardware.ts"

const address = "0000:00:04.0"
const pci = `/sys/bus/pci/devices/${address}`
const node = "/dev/vfio/devices/vfio3"

/** A machine with one device, bound to vfio-pci and awake, unless a test says otherwise. */
const machine = (changes: FakeHardware.Hardware = {}) =>
  FakeHardware.make({
    devices: ["/dev/iommu", node],
    directories: { [`${pci}/vfio-dev`]: ["vfio3"] },
    ...changes,
    links: {
      [pci]: "../../../devices/pci0000:00/0000:00:04.0",
      [`${pci}/driver`]: "../../../bus/pci/drivers/vfio-pci",
      "/sys/class/vfio-dev/vfio3/device": "../../../0000:00:04.0",
      ...changes.links
    },
    texts: { [`${pci}/power_state`]: "D0\n", ...changes.texts },
    requests: {
      VFIO_DEVICE_BIND_IOMMUFD: { fields: { out_devid: 5 } },
      VFIO_DEVICE_ATTACH_IOMMUFD_PT: { fields: { pt_id: 11 } },
      VFIO_DEVICE_DETACH_IOMMUFD_PT: {},
      VFIO_DEVICE_GET_INFO: {},
      IOMMU_IOAS_ALLOC: { fields: { out_ioas_id: 7 } },
      IOMMU_DESTROY: {},
      ...changes.requests
    }
  })

const reasonsOf = (error: { readonly _tag: string; readonly reasons?: unknown }) =>
  error._tag === "NotPreservable" ? error.reasons : error

describe("VfioDevice", () => {
  it.effect("is found by its PCI address, with or without the domain", () =>
    Effect.gen(function* () {
      for (const where of [address, "00:04.0", "0000:00:04.0"]) {
        const fake = machine()
        const open = yield* fake.run(Effect.scoped(Effect.map(VfioDevice.open({ address: where }), fake.open)))
        assert.deepStrictEqual(open, [node])
        assert.deepStrictEqual(fake.open(), [])
      }
    })
  )

  it.effect("says what is missing: the device, its driver, or an address", () =>
    Effect.gen(function* () {
      const without = (changes: FakeHardware.Hardware, where: string) =>
        Effect.flip(Effect.scoped(machine(changes).run(VfioDevice.open({ address: where }))))
      assert.strictEqual((yield* without({}, "0000:00:05.0"))._tag, "NotFound")
      assert.strictEqual((yield* without({}, "../../../../etc"))._tag, "NotFound")
      const unbound = yield* without({ directories: {} }, address)
      assert.strictEqual(unbound._tag, "DriverMissing")
      assert.include(unbound.message, "driver_override")
      assert.strictEqual((yield* without({ devices: [] }, address))._tag, "DriverMissing")
      const gone = { overrides: { openFile: () => -ENODEV } }
      assert.strictEqual((yield* without(gone, address))._tag, "DeviceGone")
      // It came through a handover, and only its session opens it.
      const incoming = { overrides: { openFile: () => -EBUSY } }
      assert.strictEqual((yield* without(incoming, address))._tag, "DeviceInUse")
    })
  )

  it.effect("knows its iommufd once it is bound, and is detached before anything ends", () =>
    Effect.gen(function* () {
      const fake = machine()
      yield* fake.run(
        Effect.scoped(
          Effect.gen(function* () {
            const iommufd = yield* Iommufd.open
            const device = yield* VfioDevice.open({ address })
            assert.isUndefined(device.requires)
            const bound = yield* VfioDevice.bind(device, iommufd)
            assert.strictEqual(bound.deviceId, 5)
            assert.deepStrictEqual(yield* bound.requires ?? Effect.succeed([]), [iommufd])
            const ioas = yield* Iommufd.allocateIoas(iommufd)
            assert.strictEqual(yield* VfioDevice.attach(bound, ioas), 11)
            const [bind] = fake.seen
            assert.deepStrictEqual(bind?.values, {
              argsz: 24,
              flags: 0,
              iommufd: iommufd.fd,
              out_devid: 0,
              token_uuid_ptr: 0n
            })
          })
        )
      )
      assert.deepStrictEqual(
        fake.seen.map(({ fd, macro }) => `${macro} ${fd}`),
        [
          `VFIO_DEVICE_BIND_IOMMUFD ${node}`,
          "IOMMU_IOAS_ALLOC /dev/iommu",
          `VFIO_DEVICE_ATTACH_IOMMUFD_PT ${node}`,
          `VFIO_DEVICE_DETACH_IOMMUFD_PT ${node}`,
          "IOMMU_DESTROY /dev/iommu"
        ]
      )
    })
  )

  for (const [errno, tag] of [
    [EBUSY, "DeviceInUse"],
    [EINVAL, "BindRefused"],
    [EPERM, "NotIsolated"],
    [ENODEV, "DeviceGone"],
    [EIO, "DeviceGone"]
  ] as const)
    it.scoped(`a binding that the kernel refuses with errno ${errno} is ${tag}`, () =>
      machine({ requests: { VFIO_DEVICE_BIND_IOMMUFD: -errno } }).run(
        Effect.gen(function* () {
          const iommufd = yield* Iommufd.open
          const device = yield* VfioDevice.open({ address })
          assert.strictEqual((yield* Effect.flip(VfioDevice.bind(device, iommufd)))._tag, tag)
        })
      )
    )

  it.scoped("is fit to be preserved when it is bound, awake, a whole device, and vfio-pci's", () =>
    machine().run(Effect.flatMap(VfioDevice.open({ address }), VfioDevice.check))
  )

  it.scoped("has every reason against it said at once", () =>
    machine({
      links: {
        [`${pci}/driver`]: "../../../bus/pci/drivers/mlx5-vfio-pci",
        [`${pci}/physfn`]: "../0000:00:03.0"
      },
      texts: { [`${pci}/power_state`]: "D3hot\n" },
      requests: { VFIO_DEVICE_GET_INFO: -EINVAL }
    }).run(
      Effect.gen(function* () {
        const error = yield* Effect.flip(Effect.flatMap(VfioDevice.open({ address }), VfioDevice.check))
        assert.deepStrictEqual(reasonsOf(error), ["not-bound", "other-driver", "virtual-function", "not-in-d0"])
        assert.include(error.message, "physical function")
      })
    )
  )

  it.effect("is told apart from other files", () =>
    Effect.gen(function* () {
      const fake = machine()
      const other = fake.give("/dev/iommu")
      const error = yield* Effect.flip(fake.run(VfioDevice.check({ kind: "vfio", custody: "owned", fd: other })))
      assert.deepStrictEqual(reasonsOf(error), ["wrong-kind"])
    })
  )

  it.effect("is bound again after a jump, to the iommufd that came with it", () =>
    Effect.gen(function* () {
      const fake = machine()
      const origin = { session: "vm-1", token: Token.make(2n) }
      const device = VfioDevice.VfioDevice.manage({ ...origin, fd: fake.give(node) })
      const iommufd = Iommufd.Iommufd.manage({ ...origin, fd: fake.give("/dev/iommu") })
      const bound = yield* fake.run(VfioDevice.bind(device, iommufd))
      assert.strictEqual(bound.custody, "managed")
      assert.strictEqual(bound.iommufd, iommufd)
    })
  )

  it.effect("that came through a handover has no node: its driver tells what it is, where it does", () =>
    Effect.gen(function* () {
      let information = "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:01.0/0000:00:04.0\n"
      const fake = machine({
        overrides: {
          readFile: (path) =>
            path.startsWith("/proc/self/fdinfo/") ? information : path === `${pci}/power_state` ? "D0\n" : -ENOENT
        }
      })
      const fd = fake.give("anon_inode:[vfio-device-liveupdate]")
      const iommufd: Iommufd.Iommufd = { kind: "iommufd", custody: "owned", fd: fake.give("anon_inode:iommufd") }
      const device = VfioDevice.withIommufd({ kind: "vfio", custody: "owned", fd }, iommufd)
      assert.deepStrictEqual(yield* device.requires ?? Effect.succeed([]), [iommufd])
      yield* fake.run(Iommufd.check(iommufd))
      yield* fake.run(device.check ?? Effect.die("no check"))
      assert.deepStrictEqual(yield* fake.run(VfioDevice.facts(device)), {
        address,
        driver: Option.some("vfio-pci"),
        virtualFunction: false,
        powerState: "D0"
      })
      information = "pos:\t0\n"
      const unknown = yield* Effect.flip(fake.run(VfioDevice.facts(device)))
      assert.deepInclude(unknown, { _tag: "NotFound", path: `/proc/self/fdinfo/${fd}` })
    })
  )
})
