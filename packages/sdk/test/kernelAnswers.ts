/**
 * What the kernel can answer to each operation, and what that means here: the claim that `errnoTable.test.ts` holds the table
 * to, and that `npm run kernel-answers -- LINUX` holds to the kernel's source.
 */
import type { Operation } from "../src/LiveUpdateError.ts"
import {
  type Answers,
  adopt,
  at,
  buffer,
  converted,
  descriptors,
  type KernelFunction,
  known,
  never,
  paths
} from "./kernelAnswer.ts"
import { hardwareAnswers, hardwareFunctions } from "./kernelAnswersHardware.ts"

const core = "kernel/liveupdate/luo_core.c"
const session = "kernel/liveupdate/luo_session.c"
const file = "kernel/liveupdate/luo_file.c"
const flb = "kernel/liveupdate/luo_flb.c"
const blocks = "kernel/liveupdate/kho_block.c"
const kho = "kernel/liveupdate/kexec_handover.c"
const memfdHandler = "mm/memfd_luo.c"

export const functions = {
  luo_open: at(core, "EBUSY", "EIO"),
  luo_ioctl: at(core, "EINVAL", "ENOIOCTLCMD"),
  luo_ucmd_respond: at("kernel/liveupdate/luo_internal.h", "EFAULT"),
  luo_session_alloc: at(session, "ENOMEM"),
  luo_session_insert: at(session, "EEXIST"),
  luo_session_create: at(session, "EINVAL"),
  luo_session_retrieve: at(session, "ENOENT", "EINVAL"),
  luo_session_ioctl: at(session, "EINVAL", "ENOIOCTLCMD"),
  luo_session_finish: at(session, "EINVAL"),
  luo_session_get_name: at(session, "EINVAL"),
  luo_session_serialize: at(session, "ENOSPC"),
  luo_preserve_file: at(file, "EEXIST", "EBADF", "ENOENT", "ENOMEM"),
  luo_file_freeze: at(file, "ENOSPC"),
  luo_retrieve_file: at(file, "ENOENT"),
  luo_file_can_finish_one: at(file, "EBUSY"),
  luo_flb_file_preserve_one: at(flb, "ENODEV"),
  kho_block_add: at(blocks, "ENOSPC", "ENOMEM"),
  kho_block_set_grow: at(blocks, "EINVAL"),
  kho_radix_add_key: at(kho, "EINVAL", "ERANGE", "ENOMEM"),
  kho_preserve_folio: at(kho, "EINVAL"),
  kho_preserve_pages: at(kho, "EINVAL"),
  kho_preserve_vmalloc: at(kho, "EINVAL", "EOPNOTSUPP", "ENOMEM"),
  kho_alloc_preserve: at(kho, "EINVAL", "E2BIG", "ENOMEM"),
  kho_locate_mem_hole: at(kho, "EADDRNOTAVAIL"),
  memfd_luo_preserve: at(memfdHandler, "EOPNOTSUPP", "EFBIG"),
  memfd_luo_preserve_folios: at(memfdHandler, "EINVAL", "ENOMEM"),
  memfd_luo_freeze: at(memfdHandler, "EINVAL"),
  memfd_luo_retrieve: at(memfdHandler, "EINVAL", "EOPNOTSUPP"),
  memfd_luo_retrieve_folios: at(memfdHandler, "EIO"),
  memfd_get_seals: at("mm/memfd.c", "EINVAL"),
  memfd_add_seals: at("mm/memfd.c", "EPERM", "EINVAL"),
  memfd_wait_for_pins: at("mm/memfd.c", "EBUSY"),
  alloc_name: at("mm/memfd.c", "ENOMEM", "EFAULT", "EINVAL"),
  sanitize_flags: at("mm/memfd.c", "EINVAL"),
  check_sysctl_memfd_noexec: at("mm/memfd.c", "EACCES"),
  check_write_seal: at("mm/memfd.c", "EPERM"),
  shmem_inode_acct_blocks: at("mm/shmem.c", "ENOSPC"),
  shmem_setattr: at("mm/shmem.c", "EPERM"),
  shmem_write_begin: at("mm/shmem.c", "EPERM", "EIO"),
  memfd_pin_folios: at("mm/gup.c", "EINVAL"),
  kernel_kexec: at("kernel/kexec_core.c", "EBUSY", "EINVAL"),
  kexec_file_load: at("kernel/kexec_file.c", "EPERM", "EINVAL", "EBUSY"),
  bzImage64_probe: at("arch/x86/kernel/kexec-bzimage64.c", "ENOEXEC"),
  bzImage64_load: at("arch/x86/kernel/kexec-bzimage64.c", "ENOEXEC", "EINVAL", "ENOMEM"),

  kernel_read_file: at("fs/kernel_read_file.c", "EINVAL", "EFBIG", "EIO", "ENOMEM"),
  kernel_read_file_from_fd: at("fs/kernel_read_file.c", "EBADF"),
  alloc_fd: at("fs/file.c", "EMFILE"),
  alloc_empty_file: at("fs/file_table.c", "ENFILE", "ENOMEM"),
  vfs_ioctl: at("fs/ioctl.c", "ENOTTY"),
  chrdev_open: at("fs/char_dev.c", "ENXIO"),
  misc_open: at("drivers/char/misc.c", "ENODEV"),
  reboot: at("kernel/reboot.c", "EPERM", "EINVAL", "EFAULT"),
  __xa_insert: at("lib/xarray.c", "EBUSY"),
  copy_struct_from_user: at("include/linux/uaccess.h", "E2BIG", "EFAULT"),
  xarray: at("lib", "ENOMEM"),
  deny_write_access: at("include/linux/fs.h", "ETXTBSY"),
  "ioctl(2)": at("man 2 ioctl", "EBADF"),
  "an image's signature": at(
    "crypto/asymmetric_keys",
    "ENODATA",
    "ELIBBAD",
    "EBADMSG",
    "ENOPKG",
    "ENOKEY",
    "EKEYEXPIRED",
    "EKEYREVOKED",
    "EKEYREJECTED"
  ),
  "open(2)": at(
    "man 2 open",
    "EACCES",
    "EPERM",
    "ENOENT",
    "ENOTDIR",
    "ELOOP",
    "ENAMETOOLONG",
    "EMFILE",
    "ENFILE",
    "ENOMEM"
  ),
  "memfd_create(2)": at("man 2 memfd_create", "EMFILE", "ENFILE", "ENOMEM"),
  "ftruncate(2)": at("man 2 ftruncate", "EINVAL", "EFBIG", "EBADF"),
  "mmap(2)": at("man 2 mmap", "EACCES", "EAGAIN", "EBADF", "ENFILE", "ENODEV", "ENOMEM"),
  "madvise(2)": at("man 2 madvise", "EINVAL", "ENOMEM", "EFAULT", "EAGAIN"),
  "fstat(2)": at("man 2 fstat", "EBADF", "ENOMEM"),
  "statfs(2)": at("man 2 statfs", "ENOENT", "ENOMEM"),
  "pread(2)": at("man 2 pread", "EBADF", "EINVAL", "EISDIR", "ESPIPE"),
  "pwrite(2)": at("man 2 pwrite", "EBADF", "EINVAL", "EFBIG", "ENOSPC", "EPERM", "ESPIPE"),
  "pidfd_open(2)": at("man 2 pidfd_open", "EINVAL", "ESRCH", "ENOENT", "EMFILE", "ENFILE", "ENOMEM"),
  "pidfd_getfd(2)": at("man 2 pidfd_getfd", "EBADF", "EPERM", "ESRCH", "EMFILE"),
  "flock(2)": at("man 2 flock", "EAGAIN", "EBADF"),
  "readlink(2)": at("man 2 readlink", "EACCES", "EINVAL", "ELOOP", "ENAMETOOLONG", "ENOENT", "ENOMEM", "ENOTDIR"),
  ...hardwareFunctions
} satisfies Readonly<Record<string, KernelFunction>>

export type FunctionName = keyof typeof functions

const deviceIoctl = [
  "luo_ioctl",
  "vfs_ioctl",
  "ioctl(2)",
  "copy_struct_from_user",
  "alloc_fd",
  "alloc_empty_file",
  "luo_ucmd_respond"
] as const
const sessionIoctl = [
  "luo_session_ioctl",
  "vfs_ioctl",
  "ioctl(2)",
  "copy_struct_from_user",
  "luo_ucmd_respond"
] as const
const growing = [
  "kho_block_set_grow",
  "kho_block_add",
  "kho_alloc_preserve",
  "kho_preserve_folio",
  "kho_radix_add_key"
] as const

const anyIoctl = {
  ENOIOCTLCMD: converted,
  ENOTTY: "WrongKind",
  EBADF: "HandleClosed",
  E2BIG: "Unsupported",
  EFAULT: buffer
} as const satisfies Answers["means"]

export const answers: Readonly<Record<Operation, Answers>> = {
  "device.open": {
    reaches: ["open(2)", "chrdev_open", "misc_open", "luo_open"],
    means: {
      ...descriptors,
      EBUSY: "DeviceBusy",
      EIO: "HandoverUnreadable",
      ENOENT: "DeviceMissing",
      ENODEV: "DeviceMissing",
      ENXIO: "DeviceMissing",
      EACCES: "PermissionDenied",
      EPERM: "PermissionDenied",
      ENOTDIR: never("/dev is a directory"),
      ELOOP: never("/dev/liveupdate is no link"),
      ENAMETOOLONG: never("the path is fixed")
    }
  },
  "session.create": {
    reaches: [...deviceIoctl, "luo_session_create", "luo_session_alloc", "luo_session_insert", ...growing],
    means: {
      ...anyIoctl,
      ...descriptors,
      EEXIST: "SessionExists",
      EINVAL: "InvalidSessionName",
      ENOSPC: "LimitReached",
      ERANGE: never("physical addresses fit into the key")
    }
  },
  "session.retrieve": {
    reaches: [...deviceIoctl, "luo_session_retrieve"],
    means: { ...anyIoctl, ...descriptors, ENOENT: "SessionNotFound", EINVAL: "SessionAlreadyRetrieved" }
  },
  "session.preserve": {
    reaches: [
      ...sessionIoctl,
      ...growing,
      "luo_preserve_file",
      "__xa_insert",
      "xarray",
      "luo_flb_file_preserve_one",
      "memfd_get_seals",
      "memfd_luo_preserve",
      "memfd_luo_preserve_folios",
      "memfd_pin_folios",
      "shmem_inode_acct_blocks",
      "kho_preserve_vmalloc",
      "kho_preserve_pages"
    ],
    means: {
      ...anyIoctl,
      EBUSY: "AlreadyPreserved",
      EEXIST: "TokenInUse",
      ENOENT: "NoHandler",
      ENOSPC: "LimitReached",
      ENOMEM: "LimitReached",
      EINVAL: "PreserveRefused",
      EFBIG: "PreserveRefused",
      EOPNOTSUPP: "PreserveRefused",
      ENODEV: "PreserveRefused",
      ERANGE: never("physical addresses fit into the key")
    }
  },
  "session.retrieveFile": {
    reaches: [
      ...sessionIoctl,
      "alloc_fd",
      "luo_retrieve_file",
      "memfd_luo_retrieve",
      "memfd_luo_retrieve_folios",
      "memfd_add_seals",
      "shmem_inode_acct_blocks",
      "memfd_create(2)"
    ],
    means: {
      ...anyIoctl,
      EMFILE: "LimitReached",
      ENOENT: "TokenNotFound",
      EINVAL: "RetrieveFailed",
      EOPNOTSUPP: "RetrieveFailed",
      EIO: "RetrieveFailed",
      EPERM: "RetrieveFailed",
      ENOSPC: "RetrieveFailed",
      ENFILE: "RetrieveFailed",
      ENOMEM: "RetrieveFailed"
    }
  },
  "session.finish": {
    reaches: [...sessionIoctl, "luo_session_finish", "luo_file_can_finish_one"],
    means: { ...anyIoctl, EBUSY: "FinishRefused", EINVAL: "WrongKind" }
  },
  "session.name": {
    reaches: [...sessionIoctl, "luo_session_get_name"],
    means: { ...anyIoctl, EINVAL: "Unsupported" }
  },
  "memfd.create": {
    reaches: ["memfd_create(2)", "alloc_name", "sanitize_flags", "check_sysctl_memfd_noexec"],
    means: { ...descriptors, EINVAL: "InvalidArgument", EACCES: "PermissionDenied", EFAULT: buffer }
  },
  "memfd.resize": {
    reaches: ["ftruncate(2)", "shmem_setattr"],
    means: { EPERM: "MemoryFrozen", EINVAL: "InvalidSize", EFBIG: "InvalidSize", EBADF: "HandleClosed" }
  },
  "memfd.seal": {
    reaches: ["memfd_add_seals", "memfd_wait_for_pins", "memfd_get_seals"],
    means: { EPERM: "MemoryFrozen", EBUSY: "MemoryFrozen", EINVAL: "WrongKind" }
  },
  "memfd.stat": {
    reaches: ["fstat(2)", "statfs(2)", "memfd_get_seals"],
    means: { EBADF: "HandleClosed", ENOENT: "HandleClosed", EINVAL: "WrongKind", ENOMEM: "LimitReached" }
  },
  "memfd.read": {
    reaches: ["pread(2)"],
    means: { EBADF: "HandleClosed", EINVAL: "WrongKind", EISDIR: "WrongKind", ESPIPE: "WrongKind" }
  },
  "memfd.write": {
    reaches: ["pwrite(2)", "shmem_inode_acct_blocks"],
    means: {
      EPERM: "MemoryFrozen",
      ENOSPC: "LimitReached",
      EFBIG: "InvalidSize",
      EBADF: "HandleClosed",
      EINVAL: "WrongKind",
      ESPIPE: "WrongKind"
    }
  },
  "memfd.populate": {
    reaches: ["mmap(2)", "check_write_seal", "madvise(2)"],
    means: {
      EPERM: "MemoryFrozen",
      EACCES: "PermissionDenied",
      EAGAIN: "LimitReached",
      ENOMEM: "LimitReached",
      ENFILE: "LimitReached",
      EFAULT: "LimitReached",
      EBADF: "HandleClosed",
      ENODEV: "WrongKind",
      EINVAL: "Unsupported"
    }
  },
  "memfd.adopt": adopt,
  ...hardwareAnswers,
  "file.inspect": {
    reaches: ["open(2)", "fstat(2)", "statfs(2)", "readlink(2)"],
    means: { ...paths, EBADF: "HandleClosed", EINVAL: "WrongKind" }
  },
  "file.open": { reaches: ["open(2)"], means: paths },
  "host.lock": {
    reaches: ["open(2)", "flock(2)"],
    means: { ...paths, EAGAIN: "HostLocked", EBADF: "HandleClosed" }
  },
  "kexec.load": {
    reaches: [
      "kexec_file_load",
      "kernel_read_file",
      "kernel_read_file_from_fd",
      "deny_write_access",
      "bzImage64_probe",
      "bzImage64_load",
      "an image's signature",
      "kho_locate_mem_hole"
    ],
    means: {
      EPERM: "PermissionDenied",
      EBUSY: "KexecBusy",
      ENOMEM: "LimitReached",
      EADDRNOTAVAIL: "LimitReached",
      EBADF: "HandleClosed",
      ENOEXEC: "KernelImageRejected",
      EINVAL: "KernelImageRejected",
      EFBIG: "KernelImageRejected",
      EIO: "KernelImageRejected",
      ETXTBSY: "KernelImageRejected",
      ENODATA: "KernelImageRejected",
      ELIBBAD: "KernelImageRejected",
      EBADMSG: "KernelImageRejected",
      ENOPKG: "KernelImageRejected",
      ENOKEY: "KernelImageRejected",
      EKEYEXPIRED: "KernelImageRejected",
      EKEYREVOKED: "KernelImageRejected",
      EKEYREJECTED: "KernelImageRejected"
    }
  },
  "kexec.unload": {
    reaches: ["kexec_file_load"],
    means: { EPERM: "PermissionDenied", EBUSY: "KexecBusy", EINVAL: known }
  },
  "kexec.jump": {
    reaches: ["reboot", "kernel_kexec", "luo_session_serialize", "luo_file_freeze", "memfd_luo_freeze"],
    means: {
      EPERM: "PermissionDenied",
      EBUSY: "KexecBusy",
      EINVAL: "KexecNotLoaded",
      ENOSPC: "FreezeFailed",
      EFAULT: never("only LINUX_REBOOT_CMD_RESTART2 has a string to read")
    }
  }
}

/**
 * Functions of the live update core that write an errno but are reached by no operation: at boot, when a handler is
 * registered, by other parts of the kernel.
 */
export const notReached: ReadonlyArray<string> = [
  // At boot, before there is a user. A failure there is a panic, or no /dev/liveupdate.
  "luo_early_startup",
  "kho_block_set_restore",
  // While luo_open reads what was handed over; luo_open answers EIO to all of it.
  "luo_file_deserialize_one",
  "luo_file_deserialize",
  // Registration and kernel-internal users.
  "liveupdate_register_file_handler",
  "luo_flb_retrieve_one",
  "liveupdate_register_flb",
  "liveupdate_unregister_flb",
  "liveupdate_flb_get_incoming",
  "liveupdate_flb_get_outgoing",
  "memfd_luo_init"
]
