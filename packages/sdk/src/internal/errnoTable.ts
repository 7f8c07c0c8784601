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

/** What is read by its name; EINVAL: a link that is none. */
const named: Row = { ...path, [errno.EINVAL]: of(E.WrongKind) }

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

// misc_open and chrdev_open: the node without its driver; no node at all.
const driver: Row = {
  ...path,
  [errno.ENOENT]: of(E.DriverMissing),
  [errno.ENXIO]: of(E.DriverMissing),
  [errno.ENODEV]: of(E.DriverMissing)
}

// iommufd_get_object (drivers/iommu/iommufd/main.c); EOPNOTSUPP: a flag that this kernel doesn't know.
const object: Row = { [errno.ENOENT]: of(E.ObjectNotFound), [errno.EOPNOTSUPP]: of(E.Unsupported) }

// iopt_check_iova and iopt_unmap_iova (drivers/iommu/iommufd/io_pagetable.c)
const range: Row = {
  [errno.EINVAL]: of(E.InvalidMapping),
  [errno.EOVERFLOW]: of(E.InvalidMapping),
  [errno.EBUSY]: of(E.MappingsFrozen)
}

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
    // The duplicate that remembers the file (PreservedFiles).
    [errno.EMFILE]: limit("descriptors"),
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
  // iommufd_fops_open, iommufd_fops_ioctl (drivers/iommu/iommufd/main.c): a number beyond its table is ENOTTY.
  "iommufd.open": driver,
  "iommufd.adopt": adopted,
  // iommufd_ioas_alloc_ioctl (ioas.c), iommufd_hwpt_alloc (hw_pagetable.c), iopt_table_add_domain (io_pagetable.c)
  "iommufd.allocate": {
    ...object,
    [errno.EINVAL]: of(E.PageTableRefused),
    [errno.EADDRINUSE]: of(E.PageTableRefused),
    [errno.ENODEV]: of(E.DeviceGone),
    [errno.EBUSY]: of(E.MappingsFrozen)
  },
  // iommufd_ioas_map_file (ioas.c), iopt_alloc_area_pages, iopt_check_iova, iopt_alloc_iova (io_pagetable.c)
  "iommufd.map": {
    ...object,
    ...range,
    [errno.EEXIST]: of(E.AddressInUse),
    [errno.ENOSPC]: limit("addresses")
  },
  // iommufd_ioas_unmap (ioas.c), iopt_unmap_iova_range (io_pagetable.c)
  "iommufd.unmap": { ...object, ...range },
  // Nothing is asked of the kernel: see Iommufd.markPageTable.
  "iommufd.mark": object,
  // iommufd_object_remove (main.c)
  "iommufd.destroy": { ...object, [errno.EBUSY]: of(E.MappingsFrozen) },
  "vfio.find": named,
  // vfio_device_fops_cdev_open (drivers/vfio/device_cdev.c); EBUSY: with the proposed handler, a device that came through a handover
  // is opened by its session alone.
  "vfio.open": { ...driver, [errno.ENODEV]: of(E.DeviceGone), [errno.EBUSY]: of(E.DeviceInUse) },
  "vfio.adopt": adopted,
  // vfio_df_ioctl_bind_iommufd (device_cdev.c), iommufd_bind_iommu (drivers/iommu/iommufd/device.c)
  "vfio.bind": {
    [errno.EBUSY]: of(E.DeviceInUse),
    [errno.EINVAL]: of(E.BindRefused),
    [errno.EPERM]: of(E.NotIsolated),
    [errno.EBADFD]: of(E.WrongKind),
    [errno.ENODEV]: of(E.DeviceGone),
    // With the proposed handler, one that was reset by a jump that failed.
    [errno.EIO]: of(E.DeviceGone)
  },
  // vfio_df_ioctl_attach_pt (device_cdev.c), iommufd_device_change_pt (drivers/iommu/iommufd/device.c)
  "vfio.attach": {
    ...object,
    [errno.EBUSY]: of(E.DeviceInUse),
    [errno.EINVAL]: of(E.PageTableRefused),
    [errno.EADDRINUSE]: of(E.PageTableRefused),
    [errno.ENODEV]: of(E.DeviceGone),
    [errno.EIO]: of(E.DeviceGone)
  },
  // vfio_df_ioctl_detach_pt (device_cdev.c)
  "vfio.detach": {
    [errno.EINVAL]: of(E.BindRefused),
    [errno.ENODEV]: of(E.DeviceGone),
    [errno.EIO]: of(E.DeviceGone)
  },
  "kvm.open": driver,
  // kvm_dev_ioctl_create_vm, kvm_create_vm, kvm_enable_virtualization (virt/kvm/kvm_main.c)
  "kvm.create": {
    [errno.EBUSY]: of(E.DeviceInUse),
    [errno.EIO]: of(E.DriverMissing),
    [errno.EOPNOTSUPP]: of(E.DriverMissing),
    [errno.EINVAL]: of(E.Unsupported)
  },
  "kvm.adopt": adopted,
  // kvm_gmem_create (virt/kvm/guest_memfd.c): the size is checked before, so EINVAL is about flags; and an architecture without
  // guest_memfd gives it to the ioctl itself.
  "kvm.createGuestMemfd": { [errno.EINVAL]: of(E.Unsupported), [errno.EIO]: of(E.VmOfAnotherProcess) },
  // flock(2)
  "host.lock": { ...path, [errno.EAGAIN]: of(E.HostLocked), [errno.EROFS]: of(E.PermissionDenied) },
  "file.open": path,
  "file.inspect": named,
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
