import { ENOENT } from "../errno.ts"
import { inodeOf, type SystemCalls } from "../Kernel.ts"
import { MFD_CLOEXEC } from "../uapi.ts"

/** An open file that only the model knows: the device, a session, a device of another driver. */
export interface Special {
  readonly ioctl: (request: number, argument: Buffer) => number
  /** Requests whose argument is a number and no address; absent, there are none. */
  readonly ioctlNumber?: (request: number, argument: number) => number
  /** open(2) through /proc/PID/fd: another open file, or a negated errno. */
  readonly reopen: () => number
  /** What pread(2) and pwrite(2) answer. */
  readonly unreadable: number
  /** When its last descriptor is closed, the kernel's own among them. */
  readonly release: () => void
  /** What the link in /proc/PID/fd says: the SDK tells kinds of files by it. */
  readonly link?: string
  /** What the driver adds to /proc/PID/fdinfo. */
  readonly information?: string
  /** It is read record by record. */
  readonly log?: Log
  /** It is memory, and what is behind the descriptor is what is in it. */
  readonly memory?: Memory
}

/** A reader of the kernel's log. */
export interface Log {
  readonly read: (bytes: Uint8Array) => number
  readonly seek: (offset: number, whence: number) => number
}

/** What memory that isn't a memfd does otherwise than one. */
export interface Memory {
  /** include/uapi/linux/magic.h */
  readonly fileSystem: number
  readonly fallocate: (fd: number, mode: number, offset: number, length: number) => number
  /** What stands against mapping its first bytes, or against this advice about the mapping: a negated errno, or 0. */
  readonly refuseAdvice: (fd: number, length: number, advice: ReadonlyArray<number>) => number
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
  /** Makes an open file of a real one, which is this one's from now on: its descriptor, or a negated errno, and then it is closed. */
  readonly enter: (fd: number, make: () => Special | number) => number
  readonly find: (fd: number) => Special | undefined
  /** `fd` is one more descriptor of an open file, if that is one of ours. */
  readonly adopt: (fd: number) => void
  /** A reference of the kernel's own: a file lives as long as a session holds it, whatever its owner closes. */
  readonly dup: (fd: number) => number
  readonly close: (fd: number) => number
}

/** What a driver keeps of its own open files. */
export interface Table<A> {
  readonly enter: (special: Special, entry: A) => Special
  /** Nothing for descriptors of any other file. */
  readonly find: (fd: number) => A | undefined
}

export const table = <A>(specials: Specials): Table<A> => {
  const entries = new WeakMap<Special, A>()
  return {
    enter: (special, entry) => {
      entries.set(special, entry)
      return special
    },
    find: (fd) => {
      const special = specials.find(fd)
      return special === undefined ? undefined : entries.get(special)
    }
  }
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

  const enter: Specials["enter"] = (fd, make) => {
    const key = keyOf(fd)
    const special = key === undefined ? -ENOENT : make()
    if (key === undefined || typeof special === "number") {
      real.close(fd)
      return typeof special === "number" ? special : -ENOENT
    }
    files.set(key, { special, descriptors: new Set([fd]) })
    return fd
  }
  const adopt = (fd: number): void => void lookUp(fd)?.descriptors.add(fd)

  return {
    open: (make) => {
      const fd = real.memfdCreate("liveupdate-model", MFD_CLOEXEC)
      return fd < 0 ? fd : enter(fd, make)
    },
    enter,
    find: (fd) => lookUp(fd)?.special,
    adopt,
    dup: (fd) => {
      const reference = real.dup(fd)
      if (reference >= 0) adopt(reference)
      return reference
    },
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
    }
  }
}
