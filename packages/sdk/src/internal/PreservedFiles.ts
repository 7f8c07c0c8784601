import type { Handle } from "../Handle.ts"
import type { Holder } from "../LiveUpdateError.ts"
import { type FileStatus, inodeOf, type SystemCalls } from "./Kernel.ts"

/** A file that this process has preserved, or retrieved from a session that isn't finished. */
export interface Entry {
  readonly holder: Holder
  readonly direction: "outgoing" | "incoming"
}

interface OpenFile extends Entry {
  /** A duplicate of our own, as the caller's descriptor may be closed while the kernel holds the file. */
  readonly fd: number
}

/**
 * What the kernel knows but doesn't tell with EBUSY: which session holds a file. And the guard that kernels before 7.1 lack:
 * there a file could be preserved twice, and the second handover of its pages would be a corruption.
 *
 * The identity is the kernel's own (`get_id` in `kernel/liveupdate/luo_file.c`): a memfd is its inode, which can't be reused
 * while it is preserved; everything else is its open file, which only kcmp(2) can compare.
 */
export interface PreservedFiles {
  readonly find: (kernel: SystemCalls, file: Handle, status: FileStatus) => Entry | undefined
  /** 0, or the errno, negated, for which the file can't be remembered. */
  readonly add: (kernel: SystemCalls, file: Handle, status: FileStatus, entry: Entry) => number
  /** A file that an incoming session manages, unless it is known already: asking for a token again gives the same file. */
  readonly enterManaged: (kernel: SystemCalls, file: Handle, status: FileStatus, holder: Holder) => void
  /** When the preserve failed after all. */
  readonly remove: (kernel: SystemCalls, file: Handle, status: FileStatus) => void
  readonly forget: (kernel: SystemCalls, session: string, direction: Entry["direction"]) => void
  /** Closes what is remembered by a descriptor of our own. */
  readonly end: (kernel: SystemCalls) => void
}

export const make = (): PreservedFiles => {
  const inodes = new Map<string, Entry>()
  const openFiles = new Set<OpenFile>()

  const findOpen = (kernel: SystemCalls, fd: number): OpenFile | undefined => {
    for (const entry of openFiles) if (kernel.kcmpFile(fd, entry.fd) === 0) return entry
    return undefined
  }
  const drop = (kernel: SystemCalls, entry: OpenFile) => {
    openFiles.delete(entry)
    kernel.close(entry.fd)
  }

  const find: PreservedFiles["find"] = (kernel, file, status) =>
    file.kind === "memfd" ? inodes.get(inodeOf(status)) : findOpen(kernel, file.fd)
  const add: PreservedFiles["add"] = (kernel, file, status, entry) => {
    if (file.kind === "memfd") {
      inodes.set(inodeOf(status), entry)
      return 0
    }
    const fd = kernel.dup(file.fd)
    if (fd >= 0) openFiles.add({ ...entry, fd })
    return Math.min(fd, 0)
  }

  return {
    find,
    add,
    enterManaged: (kernel, file, status, holder) => {
      if (find(kernel, file, status) === undefined) add(kernel, file, status, { direction: "incoming", holder })
    },
    remove: (kernel, file, status) => {
      if (file.kind === "memfd") {
        inodes.delete(inodeOf(status))
        return
      }
      const entry = findOpen(kernel, file.fd)
      if (entry !== undefined) drop(kernel, entry)
    },
    forget: (kernel, session, direction) => {
      for (const [key, entry] of inodes)
        if (entry.holder.session === session && entry.direction === direction) inodes.delete(key)
      for (const entry of openFiles)
        if (entry.holder.session === session && entry.direction === direction) drop(kernel, entry)
    },
    end: (kernel) => openFiles.forEach((entry) => drop(kernel, entry))
  }
}
