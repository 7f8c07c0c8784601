import { constants } from "node:os"

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))

/** `16` → `"EBUSY"`; a number without a name stays visible as `"errno 4095"`. */
export const errnoName = (errno: number): string => names.get(errno) ?? `errno ${errno}`

export const {
  EPERM,
  ENOENT,
  EINTR,
  E2BIG,
  ENOEXEC,
  EBADF,
  ENOMEM,
  EACCES,
  EAGAIN,
  EBUSY,
  EEXIST,
  ENODEV,
  EINVAL,
  EFBIG,
  ENOTTY,
  ENOSPC,
  EOPNOTSUPP,
  EADDRNOTAVAIL,
  EIO,
  ENXIO,
  ESRCH,
  EMFILE,
  ENFILE,
  ENOSYS,
  EMEDIUMTYPE
} = { EMEDIUMTYPE: 124, ...constants.errno }
