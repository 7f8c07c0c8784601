import { EFAULT, EINVAL, ENODEV, ENOENT, ENOTTY, ENXIO, EOPNOTSUPP, EPERM } from "../errno.ts"
import * as ioctl from "../ioctl.ts"
import type { SystemCalls } from "../Kernel.ts"
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  GUEST_MEMFD_MAGIC,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MFD_CLOEXEC,
  SEEK_HOLE
} from "../uapi.ts"
import type { FileHandler, IncomingFiles, OutgoingFiles } from "./FileHandler.ts"
import type { Vm } from "./KvmVmHandler.ts"
import * as MemoryCopy from "./MemoryCopy.ts"
import { type Special, type Specials, table } from "./Specials.ts"

const PAGE = 4096

/** `struct gmem_inode` (virt/kvm/guest_memfd.h). */
interface GuestMemory {
  /** Different for every one of a kernel. */
  readonly name: string
  readonly vm: Vm
  readonly flags: number
  /** No page comes into being or goes: GUEST_MEMFD_F_MAPPING_FROZEN of the proposed handler. */
  isFrozen: boolean
}

/**
 * The guest_memfds of one kernel, and the handler that is proposed for them (`virt/kvm/guest_memfd_luo.c`). Behind each is a
 * memfd of this machine with the guest's memory, so contents and holes are real.
 */
export interface GuestMemories {
  readonly handler: FileHandler
  readonly create: (vm: Vm, size: number, flags: number) => number
  /** Memory that comes through a handover: `fd` is what was in it, and closed by this. */
  readonly comeBack: (vm: Vm, fd: number, flags: number) => number
}

export const make = (real: SystemCalls, specials: Specials): GuestMemories => {
  const memories = table<GuestMemory>(specials)
  let count = 0

  const { find } = memories

  /** `kvm_gmem_fallocate` (virt/kvm/guest_memfd.c) */
  const fallocate = (memory: GuestMemory, fd: number, mode: number, offset: number, length: number): number => {
    if ((mode & FALLOC_FL_KEEP_SIZE) === 0) return -EOPNOTSUPP
    if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) !== 0) return -EOPNOTSUPP
    if (offset % PAGE !== 0 || length % PAGE !== 0) return -EINVAL
    if (memory.isFrozen) return -EPERM
    const status = real.status(fd)
    // `kvm_gmem_allocate`: the size never changes.
    const allocates = (mode & FALLOC_FL_PUNCH_HOLE) === 0
    if (typeof status === "number" || (allocates && offset + length > status.size)) return -EINVAL
    return real.fallocate(fd, mode, offset, length)
  }

  const describe = (vm: Vm, flags: number) => (): Special => {
    const memory: GuestMemory = { name: `guest_memfd ${count++}`, vm, flags, isFrozen: false }
    const special: Special = {
      ioctl: () => -ENOTTY,
      reopen: () => -ENXIO,
      unreadable: -EINVAL,
      release: () => {},
      link: "anon_inode:[kvm-gmem]",
      memory: {
        fileSystem: GUEST_MEMFD_MAGIC,
        fallocate: (fd, mode, offset, length) => fallocate(memory, fd, mode, offset, length),
        // `kvm_gmem_mmap`. A fault on a page that isn't there is EPERM inside the kernel while it is frozen: SIGBUS for whoever
        // touches the mapping, which `madvise_populate` (mm/madvise.c) makes EFAULT.
        refuseAdvice: (fd, length, advice) => {
          if ((flags & ioctl.GUEST_MEMFD_FLAG_MMAP) === 0) return -ENODEV
          const populates = advice.includes(MADV_POPULATE_READ) || advice.includes(MADV_POPULATE_WRITE)
          return memory.isFrozen && populates && real.seek(fd, 0, SEEK_HOLE) < length ? -EFAULT : 0
        }
      }
    }
    return memories.enter(special, memory)
  }

  /** `kvm_gmem_luo_freeze`: the token under which its VM goes along, or a negated errno. */
  const vmToken = ({ vm }: GuestMemory, session: OutgoingFiles): bigint | number =>
    vm.isOpen ? (session.tokenOf(vm.name) ?? -ENOENT) : -ENOENT

  /** `kvm_gmem_luo_retrieve`, which retrieves the VM if nobody has. */
  const retrieve = (fd: number, flags: number, token: bigint, session: IncomingFiles): number => {
    const vmFd = session.fileAt(token)
    const vm = session.devices.vms.find(vmFd)
    if (vm !== undefined) return session.devices.memories.comeBack(vm, fd, flags)
    real.close(fd)
    return vmFd < 0 ? vmFd : -EINVAL
  }

  return {
    create: (vm, size, flags) => {
      const fd = real.memfdCreate("liveupdate-model-guest", MFD_CLOEXEC)
      if (fd < 0) return fd
      const answer = real.ftruncate(fd, size)
      if (answer >= 0) return specials.enter(fd, describe(vm, flags))
      real.close(fd)
      return answer
    },
    comeBack: (vm, fd, flags) => {
      const copy = MemoryCopy.make(real, fd, 0)
      real.close(fd)
      return copy < 0 ? copy : specials.enter(copy, describe(vm, flags))
    },
    handler: {
      compatible: "guest_memfd_luo_v1",
      // Fully shared, in pages of 4 KiB: the model's have no others.
      canPreserve: (fd) => ((find(fd)?.flags ?? 0) & ioctl.GUEST_MEMFD_FLAG_INIT_SHARED) !== 0,
      identify: (fd) => find(fd)?.name ?? `closed:${fd}`,
      preserve: (fd, session) => {
        const memory = find(fd)
        if (memory === undefined) return -EINVAL
        memory.isFrozen = true
        let token: bigint | number = -ENOENT
        return {
          unpreserve: () => {
            memory.isFrozen = false
          },
          freeze: () => {
            token = vmToken(memory, session)
            return typeof token === "number" ? token : 0
          },
          handOver: () => ({
            retrieve: (incoming) => (typeof token === "number" ? token : retrieve(fd, memory.flags, token, incoming)),
            finish: (retrieved) => {
              if (!retrieved) real.close(fd)
            }
          })
        }
      }
    }
  }
}
