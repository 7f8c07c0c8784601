import { EBUSY, EFBIG, ENOMEM, EOPNOTSUPP } from "../errno.ts"
import { type FileStatus, inodeOf, type SystemCalls } from "../Kernel.ts"
import { F_GET_SEALS, O_RDONLY, TMPFS_MAGIC } from "../uapi.ts"
import type { FileHandler } from "./FileHandler.ts"
import * as MemoryCopy from "./MemoryCopy.ts"
import type { Specials } from "./Specials.ts"

// include/uapi/asm-generic/fcntl.h, include/uapi/linux/fcntl.h
const F_GETFL = 3
const O_ACCMODE = 3
const F_SEAL_SEAL = 0x1
const F_SEAL_WRITE = 0x8
const F_SEAL_EXEC = 0x20
/** MEMFD_LUO_ALL_SEALS, include/linux/kho/abi/memfd.h */
const KNOWN_SEALS = 0x3f
/** What F_SEAL_EXEC brings along on a file with execute permission (`memfd_add_seals` in `mm/memfd.c`). */
const EXEC_IMPLIES = 0x2 | 0x4 | 0x8 | 0x10

const PAGE = 4096
/** `memfd_luo_preserve` counts pages in 32 bits; `memfd_luo_preserve_folios` can't allocate more than INT_MAX bytes of pointers. */
const PAGES_MAX = 2 ** 32 - 1
const POINTERS_MAX = (2 ** 31 - 1) / 8

/** Shared memory without a name in a file system, and what a preserve forbids to do with it (`mm/memfd_luo.c`, `mm/shmem.c`). */
export interface Memfds {
  readonly handler: FileHandler
  /** A preserved file's size can't change. */
  readonly isFrozen: (status: FileStatus) => boolean
  /** A preserve fills the holes. The model doesn't, so that preserving a guest's untouched RAM costs nothing, but says so. */
  readonly allocated: (status: FileStatus) => number
  /** `memfd_wait_for_pins`: F_SEAL_WRITE waits for pages that somebody has pinned, and gives up. */
  readonly refuseSeals: (fd: number, seals: number) => number
}

/** `filled`: the inodes of files without holes, whichever kernel filled them. */
export const make = (real: SystemCalls, specials: Specials, filled: Set<string>): Memfds => {
  const frozen = new Set<string>()

  const sealsOf = (fd: number): number => real.fcntl(fd, F_GET_SEALS, 0)

  /** `memfd_luo_retrieve`: another file, with the seals that it had when it was preserved, and what these imply there. */
  const comeBack = (fd: number, seals: number): number => {
    const copy = MemoryCopy.make(real, fd, (seals & F_SEAL_EXEC) === 0 ? seals : seals | EXEC_IMPLIES)
    const status = real.status(copy)
    if (typeof status !== "number") filled.add(inodeOf(status))
    real.close(fd)
    return copy
  }

  const handler: FileHandler = {
    compatible: "memfd-v2",
    canPreserve: (fd) => {
      const status = real.status(fd)
      return (
        typeof status !== "number" &&
        status.links === 0 &&
        real.fileSystem(fd) === TMPFS_MAGIC &&
        specials.find(fd) === undefined
      )
    },
    identify: (fd) => {
      const status = real.status(fd)
      return typeof status === "number" ? `closed:${fd}` : inodeOf(status)
    },
    preserve: (fd) => {
      const status = real.status(fd)
      if (typeof status === "number") return status
      const seals = sealsOf(fd)
      if (seals < 0) return seals
      if ((seals & ~KNOWN_SEALS) !== 0) return -EOPNOTSUPP
      const pages = Math.ceil(status.size / PAGE)
      if (pages > PAGES_MAX) return -EFBIG
      if (pages > POINTERS_MAX) return -ENOMEM
      frozen.add(inodeOf(status))
      filled.add(inodeOf(status))
      return {
        unpreserve: () => void frozen.delete(inodeOf(status)),
        handOver: () => ({
          retrieve: () => comeBack(fd, seals),
          finish: (retrieved) => {
            if (!retrieved) real.close(fd)
          }
        })
      }
    }
  }

  return {
    handler,
    isFrozen: (status) => frozen.has(inodeOf(status)),
    allocated: (status) =>
      filled.has(inodeOf(status)) ? Math.max(status.allocated, Math.ceil(status.size / PAGE) * PAGE) : status.allocated,
    refuseSeals: (fd, seals) => {
      const status = real.status(fd)
      if (typeof status === "number" || !frozen.has(inodeOf(status)) || status.size === 0) return 0
      const present = sealsOf(fd)
      // What is refused before anybody waits, this machine's kernel refuses as well.
      const isRefused =
        (seals & ~KNOWN_SEALS) !== 0 ||
        (present & F_SEAL_SEAL) !== 0 ||
        (real.fcntl(fd, F_GETFL, 0) & O_ACCMODE) === O_RDONLY
      // A memfd without F_SEAL_EXEC has execute permission, unless it was taken away by fchmod(2).
      const wanted = (seals & ~present & F_SEAL_EXEC) === 0 ? seals : seals | EXEC_IMPLIES
      return !isRefused && (wanted & ~present & F_SEAL_WRITE) !== 0 ? -EBUSY : 0
    }
  }
}
