import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Iommufd from "../src/Iommufd.ts"
import { EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOTTY, EOVERFLOW } from "../src/internal/errno.ts"
import * as Memfd from "../src/Memfd.ts"
import * as Token from "../src/Token.ts"
import * as FakeHardware from "./FakeHardware.ts"

const answers = {
  IOMMU_IOAS_ALLOC: { fields: { out_ioas_id: 7 } },
  IOMMU_IOAS_MAP_FILE: { fields: { iova: 0x10000n } },
  IOMMU_IOAS_UNMAP: {},
  IOMMU_HWPT_ALLOC: { fields: { out_hwpt_id: 9 } },
  IOMMU_DESTROY: {}
}

const hardware = (requests: FakeHardware.Hardware["requests"] = {}) =>
  FakeHardware.make({ devices: ["/dev/iommu"], requests: { ...answers, ...requests } })

const sealedMemfd = Effect.gen(function* () {
  const memfd = yield* Memfd.create({ name: "ram", size: 2 << 20 })
  yield* Memfd.addSeals(memfd, "seal", "grow", "shrink")
  return memfd
})

/** Runs against made-up hardware, with an address space at hand. */
const withIoas = <A, E, R>(fake: ReturnType<typeof hardware>, use: (ioas: Iommufd.Ioas) => Effect.Effect<A, E, R>) =>
  fake.run(Effect.flatMap(Effect.flatMap(Iommufd.open, Iommufd.allocateIoas), use))

describe("Iommufd", () => {
  it.effect("ends what it allocated in the reverse order, and itself last", () =>
    Effect.gen(function* () {
      const fake = hardware()
      yield* Effect.scoped(
        withIoas(fake, (ioas) => Iommufd.allocatePageTable(ioas, { deviceId: 3 }).pipe(Effect.map(({ id }) => id)))
      )
      assert.deepStrictEqual(
        fake.seen.map(({ fd, macro, values }) => [fd, macro, values["id"] ?? values["pt_id"]]),
        [
          ["/dev/iommu", "IOMMU_IOAS_ALLOC", undefined],
          ["/dev/iommu", "IOMMU_HWPT_ALLOC", 7],
          ["/dev/iommu", "IOMMU_DESTROY", 9],
          ["/dev/iommu", "IOMMU_DESTROY", 7]
        ]
      )
      assert.deepStrictEqual(fake.open(), [])
    })
  )

  it.scoped("maps a range of a sealed memfd where it is told to, or where the kernel likes", () =>
    Effect.gen(function* () {
      const fake = hardware()
      yield* withIoas(fake, (ioas) =>
        Effect.gen(function* () {
          const memfd = yield* sealedMemfd
          yield* Iommufd.map(ioas, { memfd, offset: 4096, length: 8192, iova: 0x4000_0000n, access: "read" })
          const anywhere = yield* Iommufd.map(ioas, { memfd })
          assert.strictEqual(anywhere.iova, 0x10000n)
          assert.deepStrictEqual(
            fake.seen.slice(1).map(({ values }) => values),
            [
              { size: 40, flags: 5, ioas_id: 7, fd: memfd.fd, start: 4096n, length: 8192n, iova: 0x4000_0000n },
              { size: 40, flags: 6, ioas_id: 7, fd: memfd.fd, start: 0n, length: 2n << 20n, iova: 0n }
            ]
          )
        })
      )
    })
  )

  it.scoped("requires the memfds that are mapped through it, each once, as long as they are", () =>
    Effect.gen(function* () {
      const fake = hardware()
      yield* withIoas(fake, (ioas) =>
        Effect.gen(function* () {
          const { iommufd } = ioas
          const required = iommufd.requires ?? Effect.succeed([])
          const [one, two] = [yield* sealedMemfd, yield* sealedMemfd]
          const first = yield* Iommufd.map(ioas, { memfd: one, length: 4096 })
          yield* Iommufd.map(ioas, { memfd: one, offset: 4096 })
          const last = yield* Iommufd.map(ioas, { memfd: two })
          assert.deepStrictEqual(yield* required, [one, two])
          yield* Iommufd.unmap(last)
          assert.deepStrictEqual(yield* required, [one])
          yield* Iommufd.unmap(first)
          assert.deepStrictEqual(yield* required, [one])
          assert.strictEqual((yield* Iommufd.mappings(iommufd)).length, 1)
        })
      )
    })
  )

  it.scoped("that came through a handover, or from a VMM, requires what it is told", () =>
    Effect.gen(function* () {
      const fake = hardware()
      yield* fake.run(
        Effect.gen(function* () {
          const fd = fake.give("/dev/iommu")
          const [one, open] = [yield* sealedMemfd, yield* Memfd.create({ name: "unsealed", size: 4096 })]
          const finished = { kind: "iommufd", custody: "owned", fd } as const
          const ioas = yield* Iommufd.allocateIoas(finished)
          yield* Iommufd.map(ioas, { memfd: one })
          assert.strictEqual((yield* Iommufd.mappings(finished)).length, 1)
          const told = yield* Iommufd.withMapped(finished, [open])
          assert.deepStrictEqual(yield* told.requires ?? Effect.succeed([]), [one, open])
          const refused = yield* Effect.flip(Iommufd.check(told))
          assert.deepStrictEqual(refused._tag === "NotPreservable" ? refused.reasons : refused, ["unsealed-mapping"])
        })
      )
    })
  )

  it.effect("forgets what was mapped into an address space that is gone", () =>
    Effect.gen(function* () {
      const fake = hardware()
      yield* fake.run(
        Effect.gen(function* () {
          const iommufd = yield* Iommufd.open
          const memfd = yield* sealedMemfd
          yield* Effect.scoped(Effect.flatMap(Iommufd.allocateIoas(iommufd), (ioas) => Iommufd.map(ioas, { memfd })))
          assert.deepStrictEqual(yield* Iommufd.mappings(iommufd), [])
        }).pipe(Effect.scoped)
      )
    })
  )

  it.scoped("maps no memfd that can still change, and nothing is asked of the kernel", () =>
    Effect.gen(function* () {
      const fake = hardware()
      yield* withIoas(fake, (ioas) =>
        Effect.gen(function* () {
          const memfd = yield* Memfd.create({ name: "ram", size: 4096 })
          yield* Memfd.addSeals(memfd, "grow", "shrink")
          const before = fake.seen.length
          const error = yield* Effect.flip(Iommufd.map(ioas, { memfd }))
          assert.deepStrictEqual(error._tag === "NotPreservable" ? error.reasons : error, ["unsealed-mapping"])
          assert.include(error.message, "iommufd.map")
          assert.strictEqual(fake.seen.length, before)

          yield* Iommufd.check(ioas.iommufd)
          const mapping = yield* Iommufd.map(ioas, { memfd, temporary: true })
          const refused = yield* Effect.flip(Iommufd.check(ioas.iommufd))
          assert.deepStrictEqual(refused._tag === "NotPreservable" ? refused.reasons : refused, ["unsealed-mapping"])
          assert.deepStrictEqual(yield* ioas.iommufd.requires ?? Effect.fail("nothing required"), [])
          yield* Iommufd.unmap(mapping)
          yield* Iommufd.check(ioas.iommufd)
        })
      )
    })
  )

  it.effect("is told apart from other files", () =>
    Effect.gen(function* () {
      const fake = hardware()
      const other = fake.give("/dev/null")
      const error = yield* Effect.flip(fake.run(Iommufd.check({ kind: "iommufd", custody: "owned", fd: other })))
      assert.deepStrictEqual(error._tag === "NotPreservable" ? error.reasons : error, ["wrong-kind"])
    })
  )

  it.effect("is missing where there is no driver, and the message says what brings it", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(FakeHardware.make({}).run(Iommufd.open)))
      assert.strictEqual(error._tag, "DriverMissing")
      assert.include(error.message, "CONFIG_IOMMUFD")
    })
  )

  for (const [errno, tag] of [
    [EEXIST, "AddressInUse"],
    [EINVAL, "InvalidMapping"],
    [EOVERFLOW, "InvalidMapping"],
    [EBUSY, "MappingsFrozen"],
    [ENOENT, "ObjectNotFound"],
    [ENOSPC, "LimitReached"],
    [ENOMEM, "LimitReached"],
    [ENOTTY, "Unsupported"]
  ] as const)
    it.scoped(`a mapping that the kernel refuses with errno ${errno} is ${tag}, and is not remembered`, () =>
      withIoas(hardware({ IOMMU_IOAS_MAP_FILE: -errno }), (ioas) =>
        Effect.gen(function* () {
          const memfd = yield* sealedMemfd
          const error = yield* Effect.flip(Iommufd.map(ioas, { memfd, iova: 0x1000n }))
          assert.strictEqual(error._tag, tag)
          assert.include(error.message, "ioas 7, iova 0x1000")
          assert.deepStrictEqual(yield* Iommufd.mappings(ioas.iommufd), [])
        })
      )
    )

  it.scoped("a page table can't be marked before the kernel's number for it is settled: nothing is asked", () =>
    Effect.gen(function* () {
      const fake = hardware()
      yield* withIoas(fake, (ioas) =>
        Effect.gen(function* () {
          const table = yield* Iommufd.allocatePageTable(ioas, { deviceId: 3 })
          const before = fake.seen.length
          const error = yield* Effect.flip(Iommufd.markPageTable(table, Token.make(1n)))
          assert.strictEqual(error._tag, "NoHandler")
          assert.include(error.message, "iommufd-v1")
          assert.strictEqual(fake.seen.length, before)
        })
      )
    })
  )

  it("maps nothing while it is managed", () => {
    const managed = Iommufd.Iommufd.manage({ fd: 3, session: "vm-1", token: Token.make(1n) })
    // @ts-expect-error a managed iommufd has no address space to map into
    const allocate = () => Iommufd.allocateIoas(managed)
    assert.isFunction(allocate)
  })
})
