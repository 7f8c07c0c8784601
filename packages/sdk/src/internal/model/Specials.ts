import { ENOENT } from "../errno.ts"
import { inodeOf, type SystemCalls } from "../Kernel.ts"
import { MFD_CLOEXEC } from "../uapi.ts"

/** An open file that only the model knows: the device, a session. */
export interface Special {
  readonly ioctl: (request: number, argument: Buffer) => number
  /** open(2) through /proc/PID/fd: another open file, or a negated errno. */
  readonly reopen: () => number
  /** What pread(2) and pwrite(2) answer. */
  readonly unreadable: number
  /** When its last descriptor is closed. */
  readonly release: () => void
}

interface OpenFile {
  readonly special: Special
  readonly descriptors: Set<number>
}

/**
 * Behind each of their descriptors is a real one, of an empty memfd: so descriptors have the numbers that they would have,
 * can be counted, duplicated and compared, and are known again by their inode wherever they come from.
 */
export interface Specials {
  /** A descriptor of a new open file, or a negated errno; `make` is asked once there is one. */
  readonly open: (make: () => Special | number) => number
  readonly find: (fd: number) => Special | undefined
  /** `fd` is one more descriptor of an open file, if that is one of ours. */
  readonly adopt: (fd: number) => void
  readonly close: (fd: number) => number
  readonly closeAll: () => void
}

export const make = (real: SystemCalls): Specials => {
  const files = new Map<string, OpenFile>()

  const keyOf = (fd: number): string | undefined => {
    const status = real.status(fd)
    return typeof status === "number" ? undefined : inodeOf(status)
  }
  const lookUp = (fd: number): OpenFile | undefined => {
    if (files.size === 0) return undefined
    const key = keyOf(fd)
    return key === undefined ? undefined : files.get(key)
  }

  return {
    open: (make) => {
      const fd = real.memfdCreate("liveupdate-model", MFD_CLOEXEC)
      if (fd < 0) return fd
      const key = keyOf(fd)
      const special = key === undefined ? -ENOENT : make()
      if (key === undefined || typeof special === "number") {
        real.close(fd)
        return typeof special === "number" ? special : -ENOENT
      }
      files.set(key, { special, descriptors: new Set([fd]) })
      return fd
    },
    find: (fd) => lookUp(fd)?.special,
    adopt: (fd) => void lookUp(fd)?.descriptors.add(fd),
    close: (fd) => {
      const file = lookUp(fd)
      const key = file === undefined ? undefined : keyOf(fd)
      const answer = real.close(fd)
      if (file === undefined || key === undefined) return answer
      file.descriptors.delete(fd)
      if (file.descriptors.size === 0) {
        files.delete(key)
        file.special.release()
      }
      return answer
    },
    closeAll: () => {
      for (const { descriptors } of files.values()) for (const fd of descriptors) real.close(fd)
      files.clear()
    }
  }
}
