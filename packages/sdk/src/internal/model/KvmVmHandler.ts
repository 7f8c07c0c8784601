import { EINVAL, ENOTTY, ENXIO } from "../errno.ts"
import * as ioctl from "../ioctl.ts"
import type { SystemCalls } from "../Kernel.ts"
import { dispatch, withStruct } from "./DeviceRequest.ts"
import type { FileHandler } from "./FileHandler.ts"
import { type Special, type Specials, table } from "./Specials.ts"

export const path = "/dev/kvm"

/** `struct kvm` (include/linux/kvm_host.h), as far as other files need it. */
export interface Vm {
  /** Different for every VM of a kernel. */
  readonly name: string
  readonly type: number
  /** Its own file is open: `vm_file`. Its memory may live on without. */
  isOpen: boolean
}

/** `makeMemory`: a descriptor of new memory for a VM, or a negated errno. */
export type MakeMemory = (vm: Vm, size: number, flags: number) => number

/** The VMs of one kernel, and the handler that is proposed for them (`virt/kvm/kvm_luo.c`). */
export interface KvmVms {
  readonly handler: FileHandler
  /** A descriptor of /dev/kvm, or a negated errno. */
  readonly open: () => number
  readonly find: (fd: number) => Vm | undefined
  /** A descriptor of a new VM, or a negated errno. */
  readonly create: (type: number) => number
}

/** The default type, the only one that both architectures have (KVM_X86_DEFAULT_VM in arch/x86/include/uapi/asm/kvm.h). */
const DEFAULT_TYPE = 0

const SHARED = ioctl.GUEST_MEMFD_FLAG_MMAP | ioctl.GUEST_MEMFD_FLAG_INIT_SHARED
const PAGE = 4096n

/** `kvm_vm_ioctl_check_extension_generic` (virt/kvm/kvm_main.c), for what the SDK asks about. */
const extension = (capability: number): number => {
  if (capability === ioctl.KVM_CAP_GUEST_MEMFD) return 1
  return capability === ioctl.KVM_CAP_GUEST_MEMFD_FLAGS ? SHARED : 0
}

export const make = (real: SystemCalls, specials: Specials, makeMemory: MakeMemory): KvmVms => {
  const vms = table<Vm>(specials)
  let count = 0

  const { find } = vms

  const create = (type: number): number => {
    if (type !== DEFAULT_TYPE) return -EINVAL
    return specials.open(() => {
      const vm: Vm = { name: `kvm-vm ${count++}`, type, isOpen: true }
      // `kvm_gmem_create` (virt/kvm/guest_memfd.c); the descriptor is the answer.
      const createMemory = withStruct(ioctl.kvm.createGuestMemfd, ({ flags, reserved, size }) => {
        if (reserved !== "" || (flags & ~BigInt(SHARED)) !== 0n) return -EINVAL
        if (size <= 0n || size >= 1n << 63n || size % PAGE !== 0n) return -EINVAL
        return makeMemory(vm, Number(size), Number(flags))
      })
      const special: Special = {
        ioctl: (request, argument) => dispatch([createMemory], -ENOTTY, request, argument),
        ioctlNumber: (request, argument) => (request === ioctl.KVM_CHECK_EXTENSION ? extension(argument) : -ENOTTY),
        reopen: () => -ENXIO,
        unreadable: -EINVAL,
        release: () => {
          vm.isOpen = false
        },
        link: "anon_inode:kvm-vm"
      }
      return vms.enter(special, vm)
    })
  }

  const open = (): number =>
    specials.open(() => ({
      ioctl: () => -EINVAL,
      // `kvm_dev_ioctl`
      ioctlNumber: (request, argument) => {
        if (request === ioctl.KVM_CREATE_VM) return create(argument)
        return request === ioctl.KVM_CHECK_EXTENSION ? extension(argument) : -EINVAL
      },
      reopen: open,
      unreadable: -EINVAL,
      release: () => {},
      link: path
    }))

  return {
    open,
    create,
    find,
    /** The type is all that is kept of a VM: no memory slots, no interrupt controller, no processors. */
    handler: {
      compatible: "kvm_vm_luo_v1",
      canPreserve: (fd) => find(fd) !== undefined,
      identify: (fd) => find(fd)?.name ?? `closed:${fd}`,
      preserve: (fd) => {
        const type = find(fd)?.type
        if (type === undefined) return -EINVAL
        return {
          unpreserve: () => {},
          handOver: () => {
            real.close(fd)
            // It has no `can_finish`: what nobody retrieved is just gone.
            return { retrieve: ({ devices }) => devices.vms.create(type), finish: () => {} }
          }
        }
      }
    }
  }
}
