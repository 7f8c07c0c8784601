/**
 * Anonymous memory with a file descriptor: guest RAM, device state, a manifest.
 *
 * What a handover keeps of it: contents, size, position, seals. Not: its name and FD_CLOEXEC (`mm/memfd_luo.c`).
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Managed as ManagedHandle, Owned, Retrievable } from "./Handle.ts"
import { fromErrno } from "./internal/errnoTable.ts"
import * as Fd from "./internal/fd.ts"
import * as libc from "./internal/libc.ts"
import { ExecSealed, type LiveUpdateError } from "./LiveUpdateError.ts"

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
  manage: (fd) => ({ kind: "memfd", custody: "managed", fd })
}

// include/uapi/linux/memfd.h, include/uapi/linux/fcntl.h
const MFD_CLOEXEC = 0x1
const MFD_ALLOW_SEALING = 0x2
const MFD_EXEC = 0x10
const F_ADD_SEALS = 1033
const F_GET_SEALS = 1034

const seals = {
  seal: 0x1,
  shrink: 0x2,
  grow: 0x4,
  write: 0x8,
  "future-write": 0x10,
  exec: 0x20
} as const

/**
 * What a seal forbids from now on: adding seals, shrinking, growing, writing, new writable mappings, execution rights.
 *
 * @since 0.1.0
 * @category models
 */
export type Seal = keyof typeof seals

/**
 * @since 0.1.0
 * @category models
 */
export interface CreateOptions {
  /** Shown in /proc/PID/fd; not kept by a handover. At most 249 bytes. */
  readonly name: string
  /** Bytes. Pages are allocated when they are touched, or all at once when the file is preserved. */
  readonly size: number
}

const own = (fd: number): Memfd => ({ kind: "memfd", custody: "owned", fd })

const isErrno = (error: unknown): error is { readonly errno: number } =>
  typeof error === "object" && error !== null && "errno" in error && typeof error.errno === "number"

/** Node's own calls throw `errno` negated, just as `internal/libc` answers it. Everything else is a bug and stays one. */
const attempt = <A>(operation: Parameters<typeof fromErrno>[0], run: () => A): Effect.Effect<A, LiveUpdateError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (error) {
      return isErrno(error) ? Effect.fail(fromErrno(operation, error.errno, { kind: "memfd" })) : Effect.die(error)
    }
  })

/**
 * A new memfd that can be sealed; closed with the scope.
 *
 * It is not created with MFD_NOEXEC_SEAL: see `ExecSealed` for what a handover would make of that.
 *
 * @since 0.1.0
 * @category constructors
 */
export const create = Effect.fn("Memfd.create")(function* (
  options: CreateOptions
): Effect.fn.Return<Memfd, LiveUpdateError, Scope.Scope> {
  const fd = yield* Fd.scoped(
    Fd.call("memfd.create", { kind: "memfd", path: options.name }, () =>
      libc.memfdCreate(options.name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)
    )
  )
  yield* attempt("memfd.resize", () => Fs.ftruncateSync(fd, options.size))
  return own(fd)
})

/**
 * A duplicate of a descriptor that another process holds, such as the guest RAM of a running VMM (`pidfd_getfd`, needs
 * ptrace rights over it). Both name the same file: preserving one preserves the other.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adopt = Effect.fn("Memfd.adopt")(function* (options: {
  readonly pid: number
  readonly fd: number
}): Effect.fn.Return<Memfd, LiveUpdateError, Scope.Scope> {
  return own(yield* adoptFd("memfd", options))
})

/** A duplicate of another process's descriptor, closed with the scope; shared with the modules of other kinds. */
const adoptFd = (kind: string, options: { readonly pid: number; readonly fd: number }) =>
  Fd.scoped(
    Effect.scoped(
      Effect.gen(function* () {
        const subject = { kind, path: `/proc/${options.pid}/fd/${options.fd}` }
        const pidfd = yield* Fd.scoped(Fd.call("memfd.adopt", subject, () => libc.pidfdOpen(options.pid)))
        return yield* Fd.call("memfd.adopt", subject, () => libc.pidfdGetfd(pidfd, options.fd))
      })
    )
  )

/**
 * The size in bytes.
 *
 * @since 0.1.0
 * @category accessors
 */
export const size = (memfd: Memfd | Managed): Effect.Effect<number, LiveUpdateError> =>
  attempt("memfd.stat", () => Fs.fstatSync(memfd.fd).size)

/**
 * Adds seals; they can't be taken off again. A preserved memfd keeps them.
 *
 * @since 0.1.0
 * @category operations
 */
export const addSeals = (memfd: Memfd, ...add: ReadonlyArray<Seal>): Effect.Effect<void, LiveUpdateError> =>
  Effect.asVoid(
    Fd.call("memfd.seal", { kind: "memfd" }, () =>
      libc.fcntl(
        memfd.fd,
        F_ADD_SEALS,
        add.reduce((bits, seal) => bits | seals[seal], 0)
      )
    )
  )

/**
 * @since 0.1.0
 * @category accessors
 */
export const getSeals = (memfd: Memfd | Managed): Effect.Effect<ReadonlyArray<Seal>, LiveUpdateError> =>
  Effect.map(
    Fd.call("memfd.seal", { kind: "memfd" }, () => libc.fcntl(memfd.fd, F_GET_SEALS, 0)),
    (bits) => (Object.keys(seals) as Array<Seal>).filter((seal) => (bits & seals[seal]) !== 0)
  )

/**
 * Says why the kernel would not bring this memfd back as it is, before it is preserved. `OutgoingSession.preserve` asks it
 * too. Fails with `ExecSealed`.
 *
 * @since 0.1.0
 * @category operations
 */
export const check = (memfd: Owned): Effect.Effect<void, LiveUpdateError> =>
  Effect.flatMap(getSeals({ kind: "memfd", custody: "owned", fd: memfd.fd }), (found) =>
    found.includes("exec") && !found.includes("write")
      ? Effect.fail(new ExecSealed({ operation: "session.preserve", errno: "none", kind: "memfd" }))
      : Effect.void
  )

/**
 * Reads `length` bytes from `offset`, fewer at the end of the file. Meant for small files (a manifest); guest RAM is
 * mapped by its VMM and never read by the SDK.
 *
 * @since 0.1.0
 * @category operations
 */
export const read = (memfd: Memfd | Managed, offset: number, length: number): Effect.Effect<Buffer, LiveUpdateError> =>
  attempt("memfd.read", () => {
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, Fs.readSync(memfd.fd, bytes, 0, length, offset))
  })

/**
 * Writes all bytes at `offset`; grows the file unless it is sealed or preserved.
 *
 * @since 0.1.0
 * @category operations
 */
export const write = (memfd: Memfd, offset: number, bytes: Uint8Array): Effect.Effect<void, LiveUpdateError> =>
  attempt("memfd.write", () => {
    let written = 0
    while (written < bytes.length)
      written += Fs.writeSync(memfd.fd, bytes, written, bytes.length - written, offset + written)
  })
