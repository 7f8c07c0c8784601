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

/** Files and directories on the way to one. */
const path: Row = {
  [errno.ENOENT]: of(E.NotFound),
  [errno.ENOTDIR]: of(E.NotFound),
  [errno.ENAMETOOLONG]: of(E.NotFound),
  [errno.ELOOP]: of(E.NotFound)
}

// shmem_write_begin, shmem_setattr (mm/shmem.c): EPERM for a seal as for a frozen size. shmem_inode_acct_blocks: ENOSPC for
// memory that may not be promised (vm.overcommit_memory=2).
const memory: Row = { [errno.EPERM]: of(E.MemoryFrozen), [errno.ENOSPC]: limit("memory") }

// pidfd_open, pidfd_getfd (kernel/pid.c); EINVAL and ENOENT: the id isn't a process's, but nobody's or a thread's.
const adopted: Row = {
  [errno.ESRCH]: of(E.NotFound),
  [errno.EBADF]: of(E.NotFound),
  [errno.EINVAL]: of(E.NotFound),
  [errno.ENOENT]: of(E.NotFound)
}

// luo_ioctl, luo_session_ioctl: ENOTTY when it isn't their descriptor at all; an unknown request is EINVAL.
const luo: Row = { [errno.ENOTTY]: of(E.WrongKind) }

/**
 * Operation × errno → meaning, read from the 7.3 source; the functions that answer are named per row, and all of them with
 * all of their errnos in `test/kernelAnswers.ts`.
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
    ...luo,
    [errno.EEXIST]: of(E.SessionExists),
    [errno.EINVAL]: of(E.InvalidSessionName),
    [errno.ENOSPC]: limit("sessions")
  },
  // luo_session_retrieve (luo_session.c)
  "session.retrieve": {
    ...luo,
    [errno.ENOENT]: of(E.SessionNotFound),
    [errno.EINVAL]: of(E.SessionAlreadyRetrieved)
  },
  // luo_preserve_file (luo_file.c), memfd_luo_preserve (mm/memfd_luo.c). What isn't named here is what a file's handler said.
  "session.preserve": {
    ...luo,
    [errno.EBUSY]: of(E.AlreadyPreserved),
    [errno.EEXIST]: of(E.TokenInUse),
    [errno.ENOENT]: of(E.NoHandler),
    [errno.ENOSPC]: limit("files"),
    [errno.ENOMEM]: limit("memory"),
    [errno.EBADF]: of(E.HandleClosed),
    [errno.E2BIG]: of(E.Unsupported),
    otherwise: of(E.PreserveRefused)
  },
  // luo_session_retrieve_fd (luo_session.c) has no descriptor to give: not sticky. luo_retrieve_file (luo_file.c): ENOENT is
  // "no such token"; all others are the handler's.
  "session.retrieveFile": {
    ...luo,
    [errno.ENOENT]: of(E.TokenNotFound),
    [errno.EMFILE]: limit("descriptors"),
    [errno.EBADF]: of(E.HandleClosed),
    [errno.E2BIG]: of(E.Unsupported),
    otherwise: of(E.RetrieveFailed)
  },
  // luo_file_finish → can_finish (luo_file.c); luo_ioctl_type_valid (luo_session.c): EINVAL for an outgoing session.
  "session.finish": {
    ...luo,
    [errno.EBUSY]: of(E.FinishRefused),
    [errno.EINVAL]: of(E.WrongKind)
  },
  // luo_session_ioctl (luo_session.c) answers EINVAL to a number outside its table: before 7.2 there was no GET_NAME.
  "session.name": {
    ...luo,
    [errno.EINVAL]: of(E.Unsupported)
  },
  // alloc_name, check_sysctl_memfd_noexec (mm/memfd.c)
  "memfd.create": { ...memory, [errno.EINVAL]: of(E.InvalidArgument) },
  "memfd.resize": { ...memory, [errno.EINVAL]: of(E.InvalidSize), [errno.EFBIG]: of(E.InvalidSize) },
  // memfd_add_seals (mm/memfd.c): EBUSY, a writable mapping or pinned pages stand in the way of F_SEAL_WRITE; EINVAL, no memfd.
  "memfd.seal": { ...memory, [errno.EBUSY]: of(E.MemoryFrozen), [errno.EINVAL]: of(E.WrongKind) },
  // Its file system is asked by a path under /proc/self/fd.
  "memfd.stat": { [errno.ENOENT]: of(E.HandleClosed), [errno.EINVAL]: of(E.WrongKind) },
  // Reading where nothing can be read: a directory, a pipe.
  "memfd.read": {
    [errno.EISDIR]: of(E.WrongKind),
    [errno.ESPIPE]: of(E.WrongKind),
    [errno.EINVAL]: of(E.WrongKind)
  },
  "memfd.write": {
    ...memory,
    [errno.EFBIG]: of(E.InvalidSize),
    [errno.ESPIPE]: of(E.WrongKind),
    [errno.EINVAL]: of(E.WrongKind)
  },
  // madvise_populate (mm/madvise.c): EFAULT where touching the page would have been a SIGBUS. ENODEV: it can't be mapped.
  "memfd.populate": {
    ...memory,
    [errno.EFAULT]: limit("memory"),
    [errno.EAGAIN]: limit("memory"),
    [errno.ENODEV]: of(E.WrongKind),
    [errno.EINVAL]: of(E.Unsupported)
  },
  "memfd.adopt": adopted,
  "iommufd.open": path,
  "iommufd.adopt": adopted,
  "iommufd.allocate": {},
  "iommufd.map": {},
  "iommufd.unmap": {},
  "iommufd.mark": {},
  "vfio.find": path,
  "vfio.open": path,
  "vfio.adopt": adopted,
  "vfio.bind": {},
  "vfio.attach": {},
  "kvm.open": path,
  "kvm.create": {},
  "kvm.adopt": adopted,
  "kvm.createGuestMemfd": {},
  // flock(2)
  "host.lock": { ...path, [errno.EAGAIN]: of(E.HostLocked), [errno.EROFS]: of(E.PermissionDenied) },
  "file.open": path,
  // kexec_file_load (kernel/kexec_file.c), bzImage64_probe and bzImage64_load (arch/x86/kernel/kexec-bzimage64.c),
  // kernel_read_file (fs/kernel_read_file.c), verify_pefile_signature (crypto/asymmetric_keys/verify_pefile.c).
  "kexec.load": {
    [errno.EBUSY]: of(E.KexecBusy),
    [errno.EADDRNOTAVAIL]: limit("image"),
    [errno.ENOEXEC]: of(E.KernelImageRejected),
    [errno.EINVAL]: of(E.KernelImageRejected),
    [errno.EFBIG]: of(E.KernelImageRejected),
    [errno.ETXTBSY]: of(E.KernelImageRejected),
    [errno.EIO]: of(E.KernelImageRejected),
    [errno.ENODATA]: of(E.KernelImageRejected),
    [errno.ENOPKG]: of(E.KernelImageRejected),
    [errno.EBADMSG]: of(E.KernelImageRejected),
    [errno.ELIBBAD]: of(E.KernelImageRejected),
    [errno.ENOKEY]: of(E.KernelImageRejected),
    [errno.EKEYEXPIRED]: of(E.KernelImageRejected),
    [errno.EKEYREVOKED]: of(E.KernelImageRejected),
    [errno.EKEYREJECTED]: of(E.KernelImageRejected)
  },
  "kexec.unload": { [errno.EBUSY]: of(E.KexecBusy) },
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
