/**
 * Anonymous memory with a file descriptor: guest RAM, device state, a manifest.
 *
 * What a handover keeps of it: contents, size, position, seals. Not: its name and FD_CLOEXEC (`mm/memfd_luo.c`).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Struct from "effect/Struct"
import { type AfterFreeze, afterFreeze, type Managed as ManagedHandle, type Owned, type Retrievable } from "./Handle.ts"
import { EINVAL } from "./internal/errno.ts"
import * as Fd from "./internal/fd.ts"
import * as Rules from "./internal/memfd.ts"
import { span } from "./internal/span.ts"
import {
  F_ADD_SEALS,
  MADV_HUGEPAGE,
  MADV_POPULATE_WRITE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC
} from "./internal/uapi.ts"
import type { LiveUpdateError } from "./LiveUpdateError.ts"

/**
 * A memfd that this process decides about.
 *
 * @since 0.1.0
 * @category models
 */
export type Memfd = Owned<"memfd">

/**
 * A memfd that came through a handover and whose session isn't finished: it can be mapped, read and written, not resized,
 * not preserved.
 *
 * @since 0.1.0
 * @category models
 */
export type Managed = ManagedHandle<"memfd">

/**
 * Tells `IncomingSession.retrieve` that a memfd is expected at a token.
 *
 * @since 0.1.0
 * @category retrieval
 */
export const Memfd: Retrievable<Managed> = {
  kind: "memfd",
  manage: (origin) => ({ kind: "memfd", custody: "managed", ...origin })
}

/**
 * What a seal forbids from now on: adding seals, shrinking, growing, writing, new writable mappings, execution rights.
 *
 * @since 0.1.0
 * @category models
 */
export type Seal = "seal" | "shrink" | "grow" | "write" | "future-write" | "exec"

/**
 * What a new memfd is to be like.
 *
 * @since 0.1.0
 * @category models
 */
export interface CreateOptions {
  /** Shown in /proc/PID/fd; not kept by a handover. At most 249 bytes. */
  readonly name: string
  /** Bytes. Pages are allocated when they are touched, or all at once when the file is preserved. */
  readonly size: number
  /**
   * Allocates all of it now, in the largest folios to be had: preserving and retrieving cost per folio, not per byte. Needs
   * /sys/kernel/mm/transparent_hugepage/shmem_enabled at `advise` (or more); otherwise it is 4 KiB folios, and no error.
   */
  readonly hugePages?: boolean
}

const own = (fd: number): Memfd => ({ kind: "memfd", custody: "owned", fd })

const kind = { kind: "memfd" }

/**
 * A new memfd that can be sealed; closed with the scope.
 *
 * It is not created with MFD_NOEXEC_SEAL: see `Reason` for what a handover would make of that. Fails with `LimitReached`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const create = (options: CreateOptions): Effect.Effect<Memfd, LiveUpdateError, Scope.Scope> =>
  span("Memfd.create")(createWith(options))

const createWith = Effect.fnUntraced(function* (
  options: CreateOptions
): Effect.fn.Return<Memfd, LiveUpdateError, Scope.Scope> {
  const fd = yield* Fd.scoped(
    Fd.call("memfd.create", { ...kind, path: options.name }, (kernel) =>
      kernel.memfdCreate(options.name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)
    )
  )
  yield* resize(own(fd), options.size)
  if (options.hugePages === true) yield* populate(own(fd))
  return own(fd)
})

/**
 * Allocates every page of it now, in the largest folios to be had (see `CreateOptions.hugePages`), without changing what is
 * there already.
 *
 * Fails with `LimitReached`, and with `MemoryFrozen` when it is sealed against writing (`madvise_populate` in `mm/madvise.c`).
 *
 * @since 0.1.0
 * @category operations
 */
export const populate = (memfd: Memfd): Effect.Effect<void, LiveUpdateError> =>
  Effect.flatMap(size(memfd), (bytes) =>
    bytes === 0
      ? Effect.void
      : Effect.asVoid(
          Fd.callAsync("memfd.populate", kind, async (kernel) => {
            const answer = await kernel.madviseFile(memfd.fd, bytes, [MADV_HUGEPAGE, MADV_POPULATE_WRITE])
            // A kernel without huge pages, where every folio is small anyway.
            return answer === -EINVAL ? kernel.madviseFile(memfd.fd, bytes, [MADV_POPULATE_WRITE]) : answer
          })
        )
  )

/**
 * A duplicate of a descriptor that another process holds, such as the guest RAM of a running VMM (`pidfd_getfd`, needs
 * ptrace rights over it). Both name the same file: preserving one preserves the other. Fails with `NotFound`,
 * `PermissionDenied`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adopt = Effect.fn("Memfd.adopt")(function* (options: {
  readonly pid: number
  readonly fd: number
}): Effect.fn.Return<Memfd, LiveUpdateError, Scope.Scope> {
  return own(yield* Fd.adopt("memfd.adopt", kind, options))
})

/**
 * The size in bytes.
 *
 * Fails with `HandleClosed`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const size = (memfd: Memfd | Managed): Effect.Effect<number, LiveUpdateError> =>
  Effect.map(Fd.status("memfd.stat", kind, memfd.fd), (status) => status.size)

/**
 * Changes the size, in bytes. Fails with `MemoryFrozen` while it is preserved, or when a seal forbids it.
 *
 * @since 0.1.0
 * @category operations
 */
export const resize = (memfd: Memfd, bytes: number): Effect.Effect<void, LiveUpdateError> =>
  Effect.asVoid(Fd.call("memfd.resize", kind, (kernel) => kernel.ftruncate(memfd.fd, bytes)))

/**
 * Adds seals; they can't be taken off again. A preserved memfd keeps them. Fails with `MemoryFrozen` when it is sealed
 * against that, or when `write` is asked for while somebody has it mapped for writing.
 *
 * @since 0.1.0
 * @category operations
 */
export const addSeals = (memfd: Memfd, ...add: ReadonlyArray<Seal>): Effect.Effect<void, LiveUpdateError> =>
  Effect.asVoid(
    Fd.call("memfd.seal", kind, (kernel) =>
      kernel.fcntl(
        memfd.fd,
        F_ADD_SEALS,
        add.reduce((bits, seal) => bits | Rules.seals[seal], 0)
      )
    )
  )

/**
 * The seals that it carries.
 *
 * Fails with `WrongKind` when it is no memory (`memfd_get_seals` in `mm/memfd.c`), `HandleClosed`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const getSeals = (memfd: Memfd | Managed): Effect.Effect<ReadonlyArray<Seal>, LiveUpdateError> =>
  Effect.map(Rules.sealBits("memfd.seal", kind, memfd.fd), (bits) =>
    Struct.keys(Rules.seals).filter((seal) => (bits & Rules.seals[seal]) !== 0)
  )

/**
 * Says why the kernel would not preserve this memfd, or not bring it back as it is, before anything is done: all reasons at
 * once. Fails with `NotPreservable`.
 * Answers what becomes of it when the jump fails (`Handle.afterFreeze`).
 *
 * @since 0.1.0
 * @category operations
 */
export const check = (memfd: Memfd): Effect.Effect<AfterFreeze, LiveUpdateError> =>
  Effect.as(Rules.check(kind, memfd.fd), afterFreeze.memfd)

/**
 * Reads `length` bytes from `offset`, fewer at the end of the file. Meant for small files (a manifest); guest RAM is
 * mapped by its VMM and never read by the SDK.
 *
 * Fails with `WrongKind` when nothing can be read there, `HandleClosed`.
 *
 * @since 0.1.0
 * @category operations
 */
export const read = (memfd: Memfd | Managed, offset: number, length: number): Effect.Effect<Buffer, LiveUpdateError> =>
  Effect.suspend(() => {
    const bytes = Buffer.alloc(length)
    return Effect.map(
      Fd.call("memfd.read", kind, (kernel) => kernel.read(memfd.fd, bytes, offset)),
      (count) => bytes.subarray(0, count)
    )
  })

/**
 * Writes all bytes at `offset`; grows the file, unless it is sealed or preserved: then it fails with `MemoryFrozen`.
 *
 * @since 0.1.0
 * @category operations
 */
export const write = (memfd: Memfd, offset: number, bytes: Uint8Array): Effect.Effect<void, LiveUpdateError> =>
  Effect.iterate(0, {
    while: (written) => written < bytes.length,
    body: (written) =>
      Effect.map(
        Fd.call("memfd.write", kind, (kernel) => kernel.write(memfd.fd, bytes.subarray(written), offset + written)),
        (count) => written + count
      )
  })
