/**
 * Every system call that the SDK makes, behind one reference: by default the running kernel, or else a model of its rules.
 *
 * All calls answer as the kernel does inside: a value `>= 0`, or the negated errno.
 */
import * as Context from "effect/Context"
import * as libc from "./libc.ts"

/** What `fstat` says, as far as it matters here. */
export interface FileStatus {
  readonly dev: number
  readonly ino: number
  /** Kind and permissions, as in `st_mode`. */
  readonly mode: number
  /** Bytes. */
  readonly size: number
  readonly links: number
  /** Bytes of memory that are really there. */
  readonly allocated: number
}

/** What two descriptors of one memfd have in common: it can't be reused as long as one is open. */
export const inodeOf = ({ dev, ino }: FileStatus): string => `${dev}:${ino}`

export interface SystemCalls {
  /** With O_CLOEXEC; mode 0600 when it creates. */
  readonly openFile: (path: string, flags: number) => number
  readonly close: (fd: number) => number
  /** For descriptors whose end is work: closing an outgoing session gives back every page that it preserved. */
  readonly closeAsync: (fd: number) => Promise<number>
  /** Another descriptor of the same open file, close-on-exec. */
  readonly dup: (fd: number) => number
  /** `argument` is read and written by the kernel in place. */
  readonly ioctl: (fd: number, request: number, argument: Buffer) => number
  /** The same on a thread of libuv's pool: for requests whose cost grows with the file (preserve, retrieve, finish). */
  readonly ioctlAsync: (fd: number, request: number, argument: Buffer) => Promise<number>
  /** For requests whose argument is a number and no address. */
  readonly ioctlNumber: (fd: number, request: number, argument: number) => number
  readonly fcntl: (fd: number, command: number, argument: number) => number
  readonly flock: (fd: number, operation: number) => number
  readonly memfdCreate: (name: string, flags: number) => number
  /** EINVAL for what is no whole number of bytes. */
  readonly ftruncate: (fd: number, size: number) => number
  readonly fallocate: (fd: number, mode: number, offset: number, length: number) => number
  /** lseek(2): the file's position, moved. */
  readonly seek: (fd: number, offset: number, whence: number) => number
  /** `madvise`, once for each advice, on a shared mapping of a file's first `length` bytes that lasts as long as the call. */
  readonly madviseFile: (fd: number, length: number, advice: ReadonlyArray<number>) => Promise<number>
  readonly status: (fd: number) => FileStatus | number
  /** The magic number of the file system that a file lives in (include/uapi/linux/magic.h). */
  readonly fileSystem: (fd: number) => number
  /** At most `bytes.length` bytes from `position`. */
  readonly read: (fd: number, bytes: Uint8Array, position: number) => number
  readonly write: (fd: number, bytes: Uint8Array, position: number) => number
  /** What a small text file says (sysfs). */
  readonly readFile: (path: string) => string | number
  /** Where a symbolic link points to, as it is written there. */
  readonly readLink: (path: string) => string | number
  /** The names in a directory, without `.` and `..`. */
  readonly readDirectory: (path: string) => ReadonlyArray<string> | number
  readonly pidfdOpen: (pid: number) => number
  readonly pidfdGetfd: (pidfd: number, fd: number) => number
  /** 0 when two descriptors of this process name one open file, a positive number when they don't (kcmp(2)). */
  readonly kcmpFile: (one: number, other: number) => number
  /** Blocks for as long as the kernel reads, checks and lays out the image, so it runs on the pool. */
  readonly kexecFileLoad: (kernelFd: number, initrdFd: number, commandLine: string, flags: number) => Promise<number>
  /** /sys/kernel/kexec_loaded */
  readonly kexecLoaded: () => boolean
  /** Settles only if the kernel refused. */
  readonly reboot: (command: number) => Promise<number>
}

export class Kernel extends Context.Reference<Kernel>()("@liveupdate/sdk/internal/Kernel", {
  defaultValue: (): SystemCalls => libc.systemCalls
}) {}
