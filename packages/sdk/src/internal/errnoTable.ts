import * as E from "../LiveUpdateError.ts"
import * as errno from "./errno.ts"

type Origin = E.Subject & { readonly operation: E.Operation; readonly errno: string }
type Meaning = (origin: Origin) => E.LiveUpdateError

/** What the errnos of one operation mean. `otherwise` is for operations that pass on whatever a file's handler said. */
interface Row {
  readonly [errno: number]: Meaning
  readonly otherwise?: Meaning
}

const of =
  (Error: new (origin: Origin) => E.LiveUpdateError): Meaning =>
  (origin) =>
    new Error(origin)

const limit =
  (reached: E.LimitReached["limit"]): Meaning =>
  (origin) =>
    new E.LimitReached({ ...origin, limit: reached })

/** What holds for every operation unless its own row says otherwise. */
const anywhere: Row = {
  [errno.EPERM]: of(E.PermissionDenied),
  [errno.EACCES]: of(E.PermissionDenied),
  [errno.ENOMEM]: limit("memory"),
  [errno.EMFILE]: limit("descriptors"),
  [errno.ENFILE]: limit("descriptors"),
  [errno.EBADF]: of(E.HandleClosed),
  [errno.ENOTTY]: of(E.Unsupported),
  [errno.E2BIG]: of(E.Unsupported),
  [errno.ENOSYS]: of(E.Unsupported)
}

// shmem_write_begin, shmem_setattr, shmem_fallocate (mm/shmem.c): EPERM for a seal as for a frozen size.
const memory: Row = { [errno.EPERM]: of(E.MemoryFrozen), [errno.ENOSPC]: limit("memory") }

// pidfd_open, pidfd_getfd (kernel/pid.c)
const adopted: Row = { [errno.ESRCH]: of(E.NotFound), [errno.EBADF]: of(E.NotFound) }

/**
 * Operation × errno → meaning, read from the 7.3 source; the functions that answer are named per row.
 */
const meanings: Readonly<Record<E.Operation, Row>> = {
  // luo_open (kernel/liveupdate/luo_core.c); ENXIO and ENODEV: the node exists, the driver doesn't.
  "device.open": {
    [errno.EBUSY]: of(E.DeviceBusy),
    [errno.ENOENT]: of(E.DeviceMissing),
    [errno.ENODEV]: of(E.DeviceMissing),
    [errno.ENXIO]: of(E.DeviceMissing),
    [errno.EIO]: of(E.HandoverUnreadable)
  },
  // luo_session_create, luo_session_insert (luo_session.c); before the list of blocks ENOMEM was the answer to too many.
  "session.create": {
    [errno.EEXIST]: of(E.SessionExists),
    [errno.EINVAL]: of(E.InvalidSessionName),
    [errno.ENOSPC]: limit("sessions")
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
    [errno.EOPNOTSUPP]: of(E.PreserveRefused),
    [errno.ENOSPC]: limit("files")
  },
  // luo_session_retrieve_fd (luo_session.c) has no descriptor to give: not sticky. luo_retrieve_file (luo_file.c): ENOENT is
  // "no such token"; all others are the handler's.
  "session.retrieveFile": {
    [errno.ENOENT]: of(E.TokenNotFound),
    [errno.EMFILE]: limit("descriptors"),
    [errno.EBADF]: of(E.HandleClosed),
    [errno.ENOTTY]: of(E.Unsupported),
    otherwise: of(E.RetrieveFailed)
  },
  // luo_file_finish → can_finish (luo_file.c)
  "session.finish": {
    [errno.EBUSY]: of(E.FinishRefused)
  },
  // luo_session_ioctl (luo_session.c) answers EINVAL to a number outside its table: before 7.2 there was no GET_NAME.
  "session.name": {
    [errno.EINVAL]: of(E.Unsupported)
  },
  "memfd.create": memory,
  "memfd.resize": { ...memory, [errno.EINVAL]: of(E.InvalidSize) },
  // memfd_add_seals (mm/memfd.c): EBUSY, a writable mapping stands in the way of F_SEAL_WRITE.
  "memfd.seal": { ...memory, [errno.EBUSY]: of(E.MemoryFrozen), [errno.EINVAL]: of(E.MemoryFrozen) },
  "memfd.stat": {},
  "memfd.read": {},
  "memfd.write": memory,
  "memfd.populate": memory,
  "memfd.adopt": adopted,
  "iommufd.open": { [errno.ENOENT]: of(E.NotFound) },
  "iommufd.adopt": adopted,
  "iommufd.allocate": {},
  "iommufd.map": {},
  "iommufd.unmap": {},
  "iommufd.mark": {},
  "vfio.find": { [errno.ENOENT]: of(E.NotFound) },
  "vfio.open": { [errno.ENOENT]: of(E.NotFound) },
  "vfio.adopt": adopted,
  "vfio.bind": {},
  "vfio.attach": {},
  "kvm.open": { [errno.ENOENT]: of(E.NotFound) },
  "kvm.create": {},
  "kvm.adopt": adopted,
  "kvm.createGuestMemfd": {},
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
    [errno.EPERM]: of(E.PermissionDenied),
    [errno.EINVAL]: of(E.KexecNotLoaded),
    [errno.EBUSY]: of(E.KexecBusy),
    otherwise: of(E.FreezeFailed)
  }
}

/** Translates a negated errno, as `internal/Kernel` answers it. */
export const fromErrno = (operation: E.Operation, negated: number, subject: E.Subject = {}): E.LiveUpdateError => {
  const number = -negated
  const origin: Origin = { ...subject, operation, errno: errno.errnoName(number) }
  const row = meanings[operation]
  const meaning = row[number] ?? row.otherwise ?? anywhere[number]
  return meaning === undefined ? new E.UnexpectedErrno({ ...origin, number }) : meaning(origin)
}
