import * as E from "../LiveUpdateError.ts"
import * as errno from "./errno.ts"

type Origin = E.Subject & { readonly operation: E.Operation; readonly errno: string }
type Meaning = (origin: Origin) => E.LiveUpdateError
type Row = Readonly<Record<number, Meaning>>

const of =
  (Error: new (origin: Origin) => E.LiveUpdateError): Meaning =>
  (origin) =>
    new Error(origin)

/** What holds for every operation unless its own row says otherwise. */
const anywhere: Row = {
  [errno.EPERM]: of(E.PermissionDenied),
  [errno.EACCES]: of(E.PermissionDenied),
  [errno.ENOMEM]: of(E.LimitReached),
  [errno.ENOSPC]: of(E.LimitReached),
  [errno.EMFILE]: of(E.LimitReached),
  [errno.ENFILE]: of(E.LimitReached),
  [errno.ENOTTY]: of(E.Unsupported),
  [errno.E2BIG]: of(E.Unsupported),
  [errno.ENOSYS]: of(E.Unsupported)
}

/**
 * Operation × errno → meaning, read from the 7.3 source; the functions that answer are named per row.
 */
const meanings: Readonly<Record<E.Operation, Row>> = {
  // luo_open (luo_core.c); ENXIO and ENODEV: the node exists, the driver doesn't.
  "device.open": {
    [errno.EBUSY]: of(E.DeviceBusy),
    [errno.ENOENT]: of(E.DeviceMissing),
    [errno.ENODEV]: of(E.DeviceMissing),
    [errno.ENXIO]: of(E.DeviceMissing),
    [errno.EIO]: of(E.HandoverUnreadable)
  },
  // luo_session_create, luo_session_insert (luo_session.c)
  "session.create": {
    [errno.EEXIST]: of(E.SessionExists),
    [errno.EINVAL]: of(E.InvalidSessionName)
  },
  // luo_session_retrieve (luo_session.c)
  "session.retrieve": {
    [errno.ENOENT]: of(E.SessionNotFound),
    [errno.EINVAL]: of(E.SessionAlreadyRetrieved)
  },
  // luo_preserve_file (luo_file.c), memfd_luo_preserve (mm/memfd_luo.c)
  "session.preserve": {
    [errno.EBUSY]: of(E.AlreadyPreserved),
    [errno.EEXIST]: of(E.TokenInUse),
    [errno.ENOENT]: of(E.NoHandler),
    [errno.EINVAL]: of(E.PreserveRefused),
    [errno.EFBIG]: of(E.PreserveRefused),
    [errno.EOPNOTSUPP]: of(E.PreserveRefused)
  },
  // luo_retrieve_file (luo_file.c): ENOENT is "no such token" or the handler's own; all others are the handler's.
  "session.retrieveFile": {
    [errno.ENOENT]: of(E.TokenNotFound),
    [errno.EINVAL]: of(E.RetrieveFailed),
    [errno.EIO]: of(E.RetrieveFailed),
    [errno.ENOMEM]: of(E.RetrieveFailed),
    [errno.EOPNOTSUPP]: of(E.RetrieveFailed)
  },
  // luo_file_finish → can_finish (luo_file.c)
  "session.finish": {
    [errno.EBUSY]: of(E.FinishRefused)
  },
  // luo_session_ioctl (luo_session.c) answers EINVAL to a number outside its table: before 7.2 there was no GET_NAME.
  "session.name": {
    [errno.EINVAL]: of(E.Unsupported)
  },
  "memfd.create": {},
  "memfd.resize": {},
  "memfd.seal": {},
  "memfd.stat": {},
  "memfd.read": {},
  "memfd.write": {},
  // pidfd_open, pidfd_getfd (kernel/pid.c)
  "memfd.adopt": {
    [errno.ESRCH]: of(E.NotFound),
    [errno.EBADF]: of(E.NotFound)
  },
  "host.lock": {
    [errno.EAGAIN]: of(E.HostLocked)
  },
  "file.open": {
    [errno.ENOENT]: of(E.NotFound)
  },
  // kexec_file_load (kernel/kexec_file.c), bzImage64_probe and bzImage64_load (arch/x86/kernel/kexec-bzimage64.c);
  // 129 is EKEYREJECTED, which Node has no name for.
  "kexec.load": {
    [errno.EBUSY]: of(E.KexecBusy),
    [errno.ENOEXEC]: of(E.KernelImageRejected),
    [errno.EINVAL]: of(E.KernelImageRejected),
    129: of(E.KernelImageRejected)
  },
  "kexec.unload": {
    [errno.EBUSY]: of(E.KexecBusy)
  },
  // kernel_kexec (kernel/kexec_core.c): past the first two checks the errno is a file's freeze callback's.
  "kexec.jump": {
    [errno.EINVAL]: of(E.KexecNotLoaded),
    [errno.EBUSY]: of(E.KexecBusy)
  }
}

const isFreezeErrno = (operation: E.Operation, row: Row, number: number): boolean =>
  operation === "kexec.jump" && row[number] === undefined && number !== errno.EPERM

/** Translates a negated errno, as `internal/libc` answers it. */
export const fromErrno = (operation: E.Operation, negated: number, subject: E.Subject = {}): E.LiveUpdateError => {
  const number = -negated
  const origin: Origin = { ...subject, operation, errno: errno.errnoName(number) }
  const row = meanings[operation]
  if (isFreezeErrno(operation, row, number)) return new E.FreezeFailed(origin)
  const meaning = row[number] ?? anywhere[number]
  return meaning === undefined ? new E.UnexpectedErrno({ ...origin, number }) : meaning(origin)
}
