/** What `kernelAnswers.ts` is made of: a function of the kernel, and what its errnos mean to an operation that reaches it. */
import type { ErrnoName } from "../src/internal/errno.ts"
import type { LiveUpdateError } from "../src/LiveUpdateError.ts"
import type { FunctionName } from "./kernelAnswers.ts"

/** The first never leaves the kernel: `vfs_ioctl` makes ENOTTY of it (`fs/ioctl.c`). The other is a second name of EDEADLK. */
export type KernelErrno = ErrnoName | "ENOIOCTLCMD" | "EDEADLOCK"

/** A function of the kernel, and the errnos that are written in its body; of a whole subsystem, those that it may pass on. */
export interface KernelFunction {
  /** Path in the kernel's source; of a subsystem its directory; of a system call its manual page. */
  readonly file: string
  readonly errnos: ReadonlyArray<KernelErrno>
}

export const at = (file: string, ...errnos: ReadonlyArray<KernelErrno>): KernelFunction => ({ file, errnos })

type Tag = LiveUpdateError["_tag"]

/** Why an errno in a function's body is no answer to this operation, whatever the table says to it. */
export interface Never {
  readonly never: string
}

export const never = (why: string): Never => ({ never: why })

/** What an operation reaches, and what every errno in there means. */
export interface Answers {
  readonly reaches: ReadonlyArray<FunctionName>
  readonly means: { readonly [E in KernelErrno]?: Tag | Never }
}

export const buffer = never("the SDK's own argument is always readable and writable memory")
export const converted = never("vfs_ioctl makes ENOTTY of it")
export const known = never("requests, struct sizes and reserved fields are the SDK's own (ioctl.test.ts)")

export const descriptors = { EMFILE: "LimitReached", ENFILE: "LimitReached", ENOMEM: "LimitReached" } as const

export const paths = {
  EACCES: "PermissionDenied",
  EPERM: "PermissionDenied",
  ENOENT: "NotFound",
  ENOTDIR: "NotFound",
  ELOOP: "NotFound",
  ENAMETOOLONG: "NotFound",
  ...descriptors
} as const

export const adopt: Answers = {
  reaches: ["pidfd_open(2)", "pidfd_getfd(2)"],
  means: {
    ...descriptors,
    EINVAL: "NotFound",
    ESRCH: "NotFound",
    ENOENT: "NotFound",
    EBADF: "NotFound",
    EPERM: "PermissionDenied"
  }
}
