import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as GuestMemfd from "../src/GuestMemfd.ts"
import { EBUSY, EINVAL, ENODEV } from "../src/internal/errno.ts"
import * as ioctl from "../src/internal/ioctl.ts"
import * as KvmVm from "../src/KvmVm.ts"
import * as FakeHardware from "./FakeHardware.ts"

const GUEST_MEMFD_MAGIC = 0x474d454d

const ALL_FLAGS = ioctl.GUEST_MEMFD_FLAG_MMAP | ioctl.GUEST_MEMFD_FLAG_INIT_SHARED

/** KVM that can do everything, unless a test says otherwise. */
const kvm = (changes: FakeHardware.Hardware & { readonly flags?: number } = {}) => {
  const closeOnExec: Array<readonly [number, number]> = []
  const fake = FakeHardware.make({
    devices: ["/dev/kvm"],
    numbers: (request, argument, give) => {
      if (request === ioctl.KVM_CREATE_VM) return give("anon_inode:kvm-vm")
      const asked = request === ioctl.KVM_CHECK_EXTENSION && argument === ioctl.KVM_CAP_GUEST_MEMFD_FLAGS
      return asked ? (changes.flags ?? ALL_FLAGS) : -EINVAL
    },
    requests: { KVM_CREATE_GUEST_MEMFD: { value: 200_001 } },
    ...changes,
    overrides: {
      fcntl: (fd, command, argument) => {
        if (command === 2) closeOnExec.push([fd, argument])
        return 0
      },
      fileSystem: () => GUEST_MEMFD_MAGIC,
      status: () => ({ dev: 1, ino: 1, mode: 0o100600, size: 8192, links: 1, allocated: 0 }),
      madviseFile: () => Promise.resolve(0),
      ...changes.overrides
    }
  })
  return { ...fake, closeOnExec }
}

const reasonsOf = (error: { readonly _tag: string; readonly reasons?: unknown }) =>
  error._tag === "NotPreservable" ? error.reasons : error

describe("KvmVm and GuestMemfd", () => {
  it.effect("the VM ends with its scope, /dev/kvm at once", () =>
    Effect.gen(function* () {
      const fake = kvm()
      const open = yield* fake.run(Effect.scoped(Effect.map(KvmVm.create(), fake.open)))
      assert.deepStrictEqual(open, ["anon_inode:kvm-vm"])
      assert.deepStrictEqual(fake.open(), [])
    })
  )

  it.scoped("memory is created shared, closes on exec, and requires its VM", () =>
    Effect.gen(function* () {
      const fake = kvm()
      yield* fake.run(
        Effect.gen(function* () {
          const vm = yield* KvmVm.create()
          yield* KvmVm.check(vm)
          const memory = yield* GuestMemfd.create(vm, { size: 8192 })
          assert.deepStrictEqual(fake.seen.at(-1)?.values, { size: 8192n, flags: 3n, reserved: "" })
          assert.deepStrictEqual(fake.closeOnExec, [[memory.fd, 1]])
          assert.deepStrictEqual(yield* memory.requires ?? Effect.succeed([]), [vm])
          yield* GuestMemfd.check(memory)

          // As `Finished.own` gives it.
          const bare = { kind: "guest_memfd", custody: "owned", fd: memory.fd } as const
          const told = GuestMemfd.withVm(bare, vm)
          assert.deepStrictEqual(yield* told.requires ?? Effect.succeed([]), [vm])
          yield* told.check ?? Effect.die("no check")
        })
      )
    })
  )

  it.scoped("memory comes in whole pages", () =>
    kvm().run(
      Effect.gen(function* () {
        const vm = yield* KvmVm.create()
        for (const size of [0, -4096, 4097, 0.5, Number.NaN]) {
          const error = yield* Effect.flip(GuestMemfd.create(vm, { size }))
          assert.strictEqual(error._tag, "InvalidSize")
          assert.include(error.message, "multiple of 4096")
        }
      })
    )
  )

  it.scoped("a kernel without shared guest_memfd is told so", () =>
    kvm({ flags: 0 }).run(
      Effect.gen(function* () {
        const vm = yield* KvmVm.create()
        assert.strictEqual((yield* Effect.flip(GuestMemfd.create(vm, { size: 4096 })))._tag, "Unsupported")
      })
    )
  )

  it.effect("has every reason against it said", () =>
    Effect.gen(function* () {
      const memory = { kind: "guest_memfd", custody: "owned", fd: 7 } as const
      const refusal = (overrides: FakeHardware.Hardware["overrides"]) =>
        Effect.map(Effect.flip(kvm({ overrides: overrides ?? {} }).run(GuestMemfd.check(memory))), reasonsOf)
      assert.deepStrictEqual(yield* refusal({ fileSystem: () => 0x01021994 }), ["wrong-kind"])
      assert.deepStrictEqual(
        yield* refusal({
          madviseFile: () => Promise.resolve(-ENODEV),
          status: () => ({ dev: 1, ino: 1, mode: 0o100600, size: 6144, links: 1, allocated: 0 })
        }),
        ["not-shared", "partial-page"]
      )
      const fake = kvm()
      const other = fake.give("anon_inode:kvm-vcpu:0")
      const error = yield* Effect.flip(fake.run(KvmVm.check({ kind: "kvm_vm", custody: "owned", fd: other })))
      assert.deepStrictEqual(reasonsOf(error), ["wrong-kind"])
    })
  )

  for (const [what, changes, tag] of [
    ["no /dev/kvm", { devices: [] }, "DriverMissing"],
    ["another hypervisor", { numbers: () => -EBUSY }, "DeviceInUse"],
    ["a machine type that it doesn't have", { numbers: () => -EINVAL }, "Unsupported"]
  ] as const)
    it.effect(`${what}: ${tag}, and nothing stays open`, () =>
      Effect.gen(function* () {
        const fake = kvm(changes)
        const error = yield* Effect.flip(fake.run(Effect.scoped(KvmVm.create())))
        assert.strictEqual(error._tag, tag)
        assert.deepStrictEqual(fake.open(), [])
      })
    )
})
