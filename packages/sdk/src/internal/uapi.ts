/**
 * Numbers of the kernel's interface to programs, under the kernel's own names, that more than one module needs. Those of
 * `/dev/liveupdate` and of devices lie beside their requests (`ioctl.ts`), errnos in `errno.ts`.
 */

// include/uapi/asm-generic/fcntl.h
export const O_RDONLY = 0
export const O_NONBLOCK = 0o4000
export const O_RDWR = 0o2
export const O_CREAT = 0o100
export const O_CLOEXEC = 0o2000000
export const LOCK_EX = 2
export const LOCK_NB = 4

// include/uapi/linux/fcntl.h
export const F_DUPFD_CLOEXEC = 1030
export const F_ADD_SEALS = 1033
export const F_GET_SEALS = 1034

// include/uapi/linux/memfd.h
export const MFD_CLOEXEC = 0x1
export const MFD_ALLOW_SEALING = 0x2
export const MFD_EXEC = 0x10

// include/uapi/linux/falloc.h
export const FALLOC_FL_KEEP_SIZE = 0x01
export const FALLOC_FL_PUNCH_HOLE = 0x02

// include/uapi/linux/fs.h
export const SEEK_END = 2
export const SEEK_HOLE = 4

// include/uapi/asm-generic/mman-common.h
export const MADV_HUGEPAGE = 14
export const MADV_POPULATE_READ = 22
export const MADV_POPULATE_WRITE = 23

// include/uapi/linux/magic.h
export const TMPFS_MAGIC = 0x01021994
export const HUGETLBFS_MAGIC = 0x958458f6
export const GUEST_MEMFD_MAGIC = 0x474d454d

// include/uapi/linux/kexec.h, include/uapi/linux/reboot.h
export const KEXEC_FILE_UNLOAD = 0x1
export const KEXEC_FILE_ON_CRASH = 0x2
export const KEXEC_FILE_NO_INITRAMFS = 0x4
export const LINUX_REBOOT_CMD_KEXEC = 0x45584543
