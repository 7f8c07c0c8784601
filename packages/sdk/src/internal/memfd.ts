import * as Effect from "effect/Effect"
import type { LiveUpdateError, Operation, Reason, Subject } from "../LiveUpdateError.ts"
import type { Seal } from "../Memfd.ts"
import * as Fd from "./fd.ts"
import type { FileStatus } from "./Kernel.ts"
import * as Refusal from "./refusal.ts"
import { F_GET_SEALS, HUGETLBFS_MAGIC, TMPFS_MAGIC } from "./uapi.ts"

/** include/uapi/linux/fcntl.h; the memfd handler knows all of these (MEMFD_LUO_ALL_SEALS in include/linux/kho/abi/memfd.h). */
export const seals: Readonly<Record<Seal, number>> = {
  seal: 0x1,
  shrink: 0x2,
  grow: 0x4,
  write: 0x8,
  "future-write": 0x10,
  exec: 0x20
}

const known = Object.values(seals).reduce((bits, seal) => bits | seal, 0)

/** `memfd_luo_preserve` (mm/memfd_luo.c) counts pages in 32 bits. */
const BYTES_MAX = (2 ** 32 - 1) * 4096

export const sealBits = (operation: Operation, subject: Subject, fd: number) =>
  Fd.call(operation, subject, (kernel) => kernel.fcntl(fd, F_GET_SEALS, 0))

const isExecSealed = (bits: number): boolean => (bits & seals.exec) !== 0 && (bits & seals.write) === 0

/** Why the kernel would not preserve it, or not bring it back as it is. */
const reasons = Effect.fnUntraced(function* (
  subject: Subject,
  fd: number
): Effect.fn.Return<ReadonlyArray<Reason>, LiveUpdateError> {
  const fileSystem = yield* Fd.call("memfd.stat", subject, (kernel) => kernel.fileSystem(fd))
  if (fileSystem === HUGETLBFS_MAGIC) return ["hugetlb"]
  if (fileSystem !== TMPFS_MAGIC) return ["not-memory"]
  const { links, size } = yield* Fd.status("memfd.stat", subject, fd)
  const bits = yield* sealBits("memfd.stat", subject, fd)
  return [
    ...Refusal.when(links > 0, "linked"),
    ...Refusal.when(size > BYTES_MAX, "too-large"),
    ...Refusal.when((bits & ~known) !== 0, "unknown-seals"),
    ...Refusal.when(isExecSealed(bits), "exec-sealed")
  ]
})

/** Fails with `NotPreservable` when there is a reason; `errno` is what the kernel said, if it was asked. */
export const check = (subject: Subject, fd: number, errno?: string): Effect.Effect<void, LiveUpdateError> =>
  Effect.flatMap(reasons(subject, fd), (found) =>
    Refusal.unlessNone(found, subject, errno === undefined ? {} : { errno })
  )

const EXECUTABLE = 0o111

/** A file that may be executed is sealed against writing with the same seal (`memfd_add_seals` in `mm/memfd.c`). */
export const mayBeExecSealed = (status: FileStatus): boolean => (status.mode & EXECUTABLE) === 0

/**
 * The one reason that the kernel doesn't know: it would accept the file. Everything else may be asked of it first, also what
 * has no seals at all.
 */
export const refuseExecSealed = (subject: Subject, fd: number): Effect.Effect<void, LiveUpdateError> =>
  Effect.flatMap(
    Effect.orElseSucceed(sealBits("memfd.stat", subject, fd), () => 0),
    (bits) => Refusal.unlessNone(Refusal.when(isExecSealed(bits), "exec-sealed"), subject)
  )
