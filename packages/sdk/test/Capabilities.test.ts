import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Capabilities from "../src/Capabilities.ts"
import type { Owned } from "../src/Handle.ts"
import { EBUSY, EINVAL, EMFILE, ENOENT, ENOMEM, EOPNOTSUPP } from "../src/internal/errno.ts"
import * as ioctl from "../src/internal/ioctl.ts"
import * as VfioDevice from "../src/VfioDevice.ts"
import * as FakeHardware from "./FakeHardware.ts"

const SESSION = 300_001
const EVERYTHING = ["/dev/liveupdate", "/dev/iommu", "/dev/kvm", "/dev/vfio/devices/vfio0"]

/** A kernel that answers like this to the files in the order memfd, memfd again, iommufd, (vfio,) kvm_vm, guest_memfd. */
const kernel = (
  preserve: FakeHardware.Hardware["requests"],
  { devices = EVERYTHING, overrides = {} }: Pick<FakeHardware.Hardware, "devices" | "overrides"> = {}
) =>
  FakeHardware.make({
    devices,
    overrides,
    numbers: (request, _, give) => (request === ioctl.KVM_CREATE_VM ? give("anon_inode:kvm-vm") : 3),
    requests: {
      LIVEUPDATE_IOCTL_CREATE_SESSION: { fields: { fd: SESSION } },
      LIVEUPDATE_SESSION_GET_NAME: {},
      KVM_CREATE_GUEST_MEMFD: { value: 300_002 },
      ...preserve
    }
  })

const yes = { answer: "yes" }
const no = { answer: "no" }
const answersOf = (found: Capabilities.Capabilities) =>
  Object.fromEntries(Object.entries(found.preserves).map(([kind, { answer }]) => [kind, answer]))

describe("Capabilities", () => {
  it.effect("mainline 7.3: a guard, names, and memfds alone", () =>
    Effect.gen(function* () {
      const fake = kernel({ LIVEUPDATE_SESSION_PRESERVE_FD: [{}, -EBUSY, -ENOENT] })
      const found = yield* fake.run(Capabilities.probe())
      assert.deepStrictEqual(found.refusesTwice, yes)
      assert.deepStrictEqual(found.tellsNames, yes)
      assert.deepStrictEqual(answersOf(found), {
        memfd: "yes",
        iommufd: "no",
        vfio: "unknown",
        kvm_vm: "no",
        guest_memfd: "no"
      })
      assert.deepStrictEqual(fake.open(), [])
    })
  )

  it.effect("6.19: no guard, no names", () =>
    Effect.gen(function* () {
      const fake = kernel({
        LIVEUPDATE_SESSION_PRESERVE_FD: [{}, {}, -ENOENT],
        LIVEUPDATE_SESSION_GET_NAME: -EINVAL
      })
      const found = yield* fake.run(Capabilities.probe())
      assert.deepStrictEqual(found.refusesTwice, no)
      assert.deepStrictEqual(found.tellsNames, no)
    })
  )

  it.scoped("a kernel with handlers for everything, some of which refuse these very files", () =>
    Effect.gen(function* () {
      const fake = kernel({ LIVEUPDATE_SESSION_PRESERVE_FD: [{}, -EBUSY, -EOPNOTSUPP, -EINVAL, {}, -EINVAL] })
      const found = yield* fake.run(
        Effect.flatMap(VfioDevice.open({ path: "/dev/vfio/devices/vfio0" }), (device) => Capabilities.probe({ device }))
      )
      assert.deepStrictEqual(answersOf(found), {
        memfd: "yes",
        iommufd: "yes",
        vfio: "yes",
        kvm_vm: "yes",
        guest_memfd: "yes"
      })
    })
  )

  it.scoped("asks a device after what it requires, and doesn't take its own unfitness for the kernel's", () =>
    Effect.gen(function* () {
      const preserve = [{}, -EBUSY, -ENOENT, {}, {}, -ENOENT]
      const fake = kernel({ LIVEUPDATE_SESSION_PRESERVE_FD: preserve })
      const required = (fd: number, requires: ReadonlyArray<Owned> = []): Owned => ({
        kind: "iommufd",
        custody: "owned",
        fd,
        requires: Effect.succeed(requires)
      })
      const device = { ...required(7, [required(8, [required(9)])]), kind: "vfio" } as const
      const { vfio } = (yield* fake.run(Capabilities.probe({ device }))).preserves
      const asked = fake.seen.filter(({ macro }) => macro === "LIVEUPDATE_SESSION_PRESERVE_FD")
      assert.deepStrictEqual(
        asked.slice(3, 6).map(({ values }) => values["fd"]),
        [9, 8, 7]
      )
      assert.deepStrictEqual(vfio, no)
      // No VFIO device at all, which its module's check says.
      const unfit = { ...device, check: VfioDevice.check(device) }
      const other = kernel({ LIVEUPDATE_SESSION_PRESERVE_FD: preserve })
      const answer = (yield* other.run(Capabilities.probe({ device: unfit }))).preserves.vfio
      assert.strictEqual(answer.answer, "unknown")
    })
  )

  it.effect("what can't be asked is unknown, and says why", () =>
    Effect.gen(function* () {
      const fake = kernel({ LIVEUPDATE_SESSION_PRESERVE_FD: -ENOMEM }, { devices: ["/dev/liveupdate"] })
      const { preserves, refusesTwice } = yield* fake.run(Capabilities.probe())
      assert.strictEqual(refusesTwice.answer, "unknown")
      for (const [kind, says] of [
        ["memfd", "no more memory"],
        ["iommufd", "CONFIG_IOMMUFD"],
        ["kvm_vm", "kvm_intel"],
        ["guest_memfd", "kvm_intel"],
        ["vfio", "No device was given"]
      ] as const) {
        const answer = preserves[kind]
        assert.include(answer.answer === "unknown" ? answer.reason : answer.answer, says)
      }
    })
  )

  it.effect("without live update there is nothing to ask, and nothing stays open when a descriptor can't be had", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(kernel({}, { devices: [] }).run(Capabilities.probe()))
      assert.strictEqual(missing._tag, "DeviceMissing")
      const fake = kernel({}, { overrides: { memfdCreate: () => -EMFILE } })
      const full = yield* Effect.flip(fake.run(Capabilities.probe()))
      assert.strictEqual(full._tag === "LimitReached" ? full.limit : full._tag, "descriptors")
      assert.deepStrictEqual(fake.open(), [])
    })
  )
})
