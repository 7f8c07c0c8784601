/**
 * `/dev/iommu`: the address spaces that devices see, and the memory that is mapped into them.
 *
 * The order of things: open, allocate an address space (IOAS), map sealed memfds into it, bind devices and attach them
 * (`VfioDevice`), mark the page tables to keep, then preserve: memfds first, then the iommufd, then the devices.
 *
 * While it is preserved or managed nothing may be mapped or unmapped (EBUSY, `MappingsFrozen`): map before. What comes back is up to
 * the handler. The one that is proposed keeps marked page tables, and leaves the address spaces behind; that of the test kernel
 * (`docs/handles.md`) brings back address spaces under their numbers (`ioasAt`) with all that was mapped, and no page tables.
 *
 * Preserving an iommufd takes the handler that is proposed for it (`iommufd-v1`). Mainline 7.3 has none: `NoHandler`.
 * Sources: `include/uapi/linux/iommufd.h`, `drivers/iommu/iommufd/`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AfterFreeze, afterFreeze, type Managed as ManagedHandle, type Owned, type Retrievable } from "./Handle.ts"
import * as Fd from "./internal/fd.ts"
import * as ioctl from "./internal/ioctl.ts"
import * as Mapped from "./internal/mapped.ts"
import * as Seals from "./internal/memfd.ts"
import * as Refusal from "./internal/refusal.ts"
import { O_RDWR } from "./internal/uapi.ts"
import { InvalidMapping, type LiveUpdateError, NoHandler } from "./LiveUpdateError.ts"
import * as Memfd from "./Memfd.ts"
import type { Token } from "./Token.ts"

/**
 * Where iommufds are opened.
 *
 * @since 0.1.0
 * @category constants
 */
export const device = "/dev/iommu"

/**
 * An iommufd that this process decides about. It requires the memfds that are mapped through it.
 *
 * @since 0.1.0
 * @category models
 */
export type Iommufd = Owned<"iommufd">

/**
 * An iommufd that came through a handover and whose session isn't finished: devices can be bound to it, nothing can be mapped.
 *
 * @since 0.1.0
 * @category models
 */
export type Managed = ManagedHandle<"iommufd">

/**
 * Tells `IncomingSession.retrieve` that an iommufd is expected at a token.
 *
 * @since 0.1.0
 * @category retrieval
 */
export const Iommufd: Retrievable<Managed> = {
  kind: "iommufd",
  manage: (origin) => ({ kind: "iommufd", custody: "managed", ...origin })
}

/**
 * An address space, and what can be attached to a device: the kernel makes page tables from it as devices need them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ioas<I extends Iommufd | Managed = Iommufd> {
  readonly type: "ioas"
  readonly iommufd: I
  /** Its number inside the iommufd. */
  readonly id: number
}

/**
 * One page table of the hardware (HWPT), made for a device out of an address space: what is kept across a jump.
 *
 * @since 0.1.0
 * @category models
 */
export interface PageTable {
  readonly type: "page-table"
  readonly iommufd: Iommufd
  /** Its number inside the iommufd. */
  readonly id: number
}

/**
 * A range of a memfd as devices see it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mapping {
  readonly ioas: Ioas
  readonly memfd: Memfd.Memfd
  /** Where the range begins in the memfd; bytes. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
  /** Where devices see it; an address in the IOAS. */
  readonly iova: bigint
  readonly temporary: boolean
}

/**
 * Which part of a memfd devices are to see, where, and for how long.
 *
 * @since 0.1.0
 * @category models
 */
export interface MapOptions {
  readonly memfd: Memfd.Memfd
  /** Bytes, a multiple of 4096; 0 unless told. */
  readonly offset?: number
  /** Bytes, a multiple of 4096; all of the memfd unless told. */
  readonly length?: number
  /** The address for devices; the kernel chooses one unless told. Guest RAM lies where the guest sees it. */
  readonly iova?: bigint
  /** What devices may do; both unless told. */
  readonly access?: "read" | "write" | "read-write"
  /** It is unmapped again before anything is preserved, so the memfd needs no seals. `check` complains as long as it is there. */
  readonly temporary?: boolean
}

const kind = { kind: "iommufd" } as const

/** How the link of one that came through a handover reads: the proposed handler makes it without a node. */
const RETRIEVED = "anon_inode:iommufd"

const own = (fd: number): Iommufd => {
  const iommufd: Iommufd = {
    ...kind,
    custody: "owned",
    fd,
    requires: Effect.sync(() => Mapped.required(iommufd)),
    check: Effect.suspend(() => check(iommufd))
  }
  return iommufd
}

/**
 * A new one; closed with the scope. Fails with `DriverMissing`, `PermissionDenied`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open: Effect.Effect<Iommufd, LiveUpdateError, Scope.Scope> = Fd.scoped(
  Fd.call("iommufd.open", { ...kind, path: device }, (kernel) => kernel.openFile(device, O_RDWR))
).pipe(Effect.map(own), Effect.withSpan("Iommufd.open"))

/** All of them are needed: a sealed memfd can't lose a seal either. */
const NEEDED = Seals.seals.seal | Seals.seals.grow | Seals.seals.shrink

const isSealed = (memfd: Memfd.Memfd): Effect.Effect<boolean, LiveUpdateError> =>
  Effect.map(Seals.sealBits("memfd.stat", { kind: "memfd" }, memfd.fd), (bits) => (bits & NEEDED) === NEEDED)

/**
 * The same iommufd as a handle that requires these memfds: for one that came through a handover, or whose mappings another
 * process made. The kernel doesn't tell what is mapped. Fails with `HandleClosed`, `WrongKind`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withMapped = Effect.fn("Iommufd.withMapped")(function* (
  iommufd: Iommufd,
  memfds: ReadonlyArray<Memfd.Memfd>
): Effect.fn.Return<Iommufd, LiveUpdateError> {
  const entries = yield* Effect.forEach(memfds, (memfd) =>
    Effect.map(isSealed(memfd), (sealed) => ({ memfd, sealed, temporary: false }))
  )
  const other = own(iommufd.fd)
  for (const one of [...Mapped.through(iommufd), ...entries]) Mapped.through(other).add(one)
  return other
})

/**
 * A duplicate of the one that a VMM holds (`pidfd_getfd`, needs ptrace rights over it), and the memfds that the VMM has mapped
 * through it. Fails with `NotFound`, `PermissionDenied`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adopt = Effect.fn("Iommufd.adopt")(function* (options: {
  readonly pid: number
  readonly fd: number
  readonly mapped: ReadonlyArray<Memfd.Memfd>
}): Effect.fn.Return<Iommufd, LiveUpdateError, Scope.Scope> {
  return yield* withMapped(own(yield* Fd.adopt("iommufd.adopt", kind, options)), options.mapped)
})

/**
 * Objects live as long as the scope that made them, at most as long as the iommufd. When one can't be destroyed any more,
 * because the iommufd is preserved or somebody attached to it, it ends with the iommufd.
 */
const scopedObject = (iommufd: Iommufd, allocate: Effect.Effect<number, LiveUpdateError>) =>
  Effect.acquireRelease(allocate, (id) =>
    Effect.ignore(
      Fd.request("iommufd.destroy", { ...kind, object: `object ${id}` }, iommufd.fd, ioctl.iommufd.destroy, { id })
    )
  )

/**
 * A new address space (IOMMU_IOAS_ALLOC; struct iommu_ioas_alloc: u32 size, u32 flags = 0, u32 out_ioas_id; 12 bytes). It ends
 * with the scope, and what is mapped into it. Fails with `LimitReached`.
 *
 * @since 0.1.0
 * @category operations
 */
export const allocateIoas = Effect.fn("Iommufd.allocateIoas")(function* (
  iommufd: Iommufd
): Effect.fn.Return<Ioas, LiveUpdateError, Scope.Scope> {
  const ioas = yield* scopedObject(
    iommufd,
    Effect.map(
      Fd.request("iommufd.allocate", kind, iommufd.fd, ioctl.iommufd.allocateIoas, {}),
      (answer) => answer.out_ioas_id
    )
  ).pipe(Effect.map((id): Ioas => ({ type: "ioas", iommufd, id })))
  yield* Effect.addFinalizer(() => Effect.sync(() => Mapped.forget(iommufd, (mapping) => mapping.ioas === ioas)))
  return ioas
})

/**
 * An address space that is there already, by its number: one that came back with its iommufd, or that somebody else allocated. The
 * kernel isn't asked: if there is none, whatever is done with it fails with `ObjectNotFound`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ioasAt = <I extends Iommufd | Managed>(iommufd: I, id: number): Ioas<I> => ({ type: "ioas", iommufd, id })

const hex = (value: bigint): string => `0x${value.toString(16)}`

const access = {
  read: ioctl.IOMMU_IOAS_MAP_READABLE,
  write: ioctl.IOMMU_IOAS_MAP_WRITEABLE,
  "read-write": ioctl.IOMMU_IOAS_MAP_READABLE | ioctl.IOMMU_IOAS_MAP_WRITEABLE
} as const

/**
 * Maps a memfd, or a range of it, for devices (IOMMU_IOAS_MAP_FILE, Linux 6.13; struct iommu_ioas_map_file: u32 size, u32 flags,
 * u32 ioas_id, s32 fd, u64 start, u64 length, u64 iova (in and out); 40 bytes). Its pages are pinned while a device is attached, and
 * count against RLIMIT_MEMLOCK.
 *
 * Only memory that stays can be kept for devices across a jump: the memfd must carry the seals `seal`, `grow` and `shrink`, now,
 * not later (`temporary` excepted), and be preserved in the same session, before the iommufd.
 *
 * Fails with `NotPreservable` (`unsealed-mapping`), `AddressInUse`, `InvalidMapping`, `MappingsFrozen`, `ObjectNotFound`,
 * `LimitReached`, `Unsupported`.
 *
 * @since 0.1.0
 * @category operations
 */
export const map = Effect.fn("Iommufd.map")(function* (
  ioas: Ioas,
  options: MapOptions
): Effect.fn.Return<Mapping, LiveUpdateError> {
  const { iommufd } = ioas
  const { iova, memfd, offset = 0, temporary = false } = options
  const sealed = yield* isSealed(memfd)
  const length = options.length ?? (yield* Memfd.size(memfd)) - offset
  const subject = { ...kind, object: `ioas ${ioas.id}${iova === undefined ? "" : `, iova ${hex(iova)}`}` }
  yield* Refusal.unlessNone(Refusal.when(!sealed && !temporary, "unsealed-mapping"), subject, {
    operation: "iommufd.map"
  })
  if (!(Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length > 0))
    return yield* new InvalidMapping({ ...subject, operation: "iommufd.map", errno: "none" })
  const answer = yield* Fd.requestAsync("iommufd.map", subject, iommufd.fd, ioctl.iommufd.mapFile, {
    flags: access[options.access ?? "read-write"] | (iova === undefined ? 0 : ioctl.IOMMU_IOAS_MAP_FIXED_IOVA),
    ioas_id: ioas.id,
    fd: memfd.fd,
    start: BigInt(offset),
    length: BigInt(length),
    iova: iova ?? 0n
  })
  const mapping: Mapping = { ioas, memfd, offset, length, iova: answer.iova, temporary }
  Mapped.through(iommufd).add({ memfd, sealed, temporary, mapping })
  return mapping
}, Effect.uninterruptible)

/**
 * Takes a mapping away again, as a whole (IOMMU_IOAS_UNMAP; struct iommu_ioas_unmap: u32 size, u32 ioas_id, u64 iova, u64 length;
 * 24 bytes). Fails with `MappingsFrozen`, `ObjectNotFound`.
 *
 * @since 0.1.0
 * @category operations
 */
export const unmap = Effect.fn("Iommufd.unmap")(function* (mapping: Mapping): Effect.fn.Return<void, LiveUpdateError> {
  const { ioas, iova, length } = mapping
  yield* Fd.requestAsync(
    "iommufd.unmap",
    { ...kind, object: `ioas ${ioas.id}, iova ${hex(iova)}` },
    ioas.iommufd.fd,
    ioctl.iommufd.unmap,
    { ioas_id: ioas.id, iova, length: BigInt(length) }
  )
  Mapped.forget(ioas.iommufd, (one) => one === mapping)
}, Effect.uninterruptible)

/**
 * What is mapped through this handle now. Not what another process mapped through the same file.
 *
 * @since 0.1.0
 * @category accessors
 */
export const mappings = (iommufd: Iommufd): Effect.Effect<ReadonlyArray<Mapping>> =>
  Effect.sync(() => [...Mapped.through(iommufd)].flatMap(({ mapping }) => (mapping === undefined ? [] : [mapping])))

/**
 * A page table of its own for a bound device, out of an address space (IOMMU_HWPT_ALLOC; struct iommu_hwpt_alloc: u32 size, flags,
 * dev_id, pt_id, out_hwpt_id, reserved = 0, data_type = 0, data_len = 0, u64 data_uptr = 0, u32 fault_id = 0, reserved = 0;
 * 48 bytes). It ends with the scope. Fails with `ObjectNotFound`, `PageTableRefused`, `LimitReached`.
 *
 * @since 0.1.0
 * @category operations
 */
export const allocatePageTable = Effect.fn("Iommufd.allocatePageTable")(function* (
  ioas: Ioas,
  bound: { readonly deviceId: number }
): Effect.fn.Return<PageTable, LiveUpdateError, Scope.Scope> {
  const subject = { ...kind, object: `ioas ${ioas.id}, device ${bound.deviceId}` }
  const id = yield* scopedObject(
    ioas.iommufd,
    Effect.map(
      Fd.requestAsync("iommufd.allocate", subject, ioas.iommufd.fd, ioctl.iommufd.allocateHwpt, {
        dev_id: bound.deviceId,
        pt_id: ioas.id
      }),
      (answer) => answer.out_hwpt_id
    )
  )
  return { type: "page-table", iommufd: ioas.iommufd, id }
})

/**
 * Marks a page table to be kept when its iommufd is preserved, to be found again by a token.
 *
 * Always fails with `NoHandler` so far: the request is part of the series that brings the handler, and has no settled number.
 * What was proposed first, 0x3b95, is another request in mainline 7.3 (IOMMU_IOAS_NOIOMMU_GET_PA), and the struct has been
 * renamed from revision to revision; so nothing is asked of the kernel, which could take it for something else. A simulated host with
 * the profile `handlers` doesn't need it: there every page table counts as marked.
 *
 * @since 0.1.0
 * @category operations
 */
export const markPageTable = (table: PageTable, token: Token): Effect.Effect<never, NoHandler> =>
  Effect.fail(
    new NoHandler({ ...kind, operation: "iommufd.mark", errno: "none", token, object: `page table ${table.id}` })
  )

/**
 * Says why the handler would not preserve this iommufd, before anything is done: all reasons at once. Fails with
 * `NotPreservable` (`wrong-kind`, `unsealed-mapping`).
 * Answers what becomes of it when the jump fails (`Handle.afterFreeze`).
 *
 * @since 0.1.0
 * @category operations
 */
export const check = Effect.fn("Iommufd.check")(function* (
  iommufd: Iommufd
): Effect.fn.Return<AfterFreeze, LiveUpdateError> {
  const link = yield* Fd.linkOf(kind, iommufd.fd)
  const unsealed = [...Mapped.through(iommufd)].some((one) => !one.sealed)
  yield* Refusal.unlessNone(
    [
      ...Refusal.when(link !== device && link !== RETRIEVED, "wrong-kind"),
      ...Refusal.when(unsealed, "unsealed-mapping")
    ],
    kind
  )
  return afterFreeze.iommufd
})
