/**
 * Guest memory that belongs to one VM (guest_memfd): KVM maps it for the guest whether a process has it mapped or not.
 *
 * What may not be done: once it is preserved no page comes into being any more (faults answer EPERM), so all of it should be touched
 * before; and its VM must be preserved too, before it, or the jump fails when it freezes the memory.
 *
 * Preserving one takes the handler that is proposed for it (`guest_memfd_luo_v1`: fully shared, in 4 KiB pages). Mainline 7.3 has
 * none: `NoHandler`. Sources: `include/uapi/linux/kvm.h`, `virt/kvm/guest_memfd.c`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AfterFreeze, afterFreeze, type Managed as ManagedHandle, type Owned, type Retrievable } from "./Handle.ts"
import { ENODEV } from "./internal/errno.ts"
import * as Fd from "./internal/fd.ts"
import * as ioctl from "./internal/ioctl.ts"
import { Kernel } from "./internal/Kernel.ts"
import * as Refusal from "./internal/refusal.ts"
import { GUEST_MEMFD_MAGIC } from "./internal/uapi.ts"
import type * as KvmVm from "./KvmVm.ts"
import { InvalidSize, type LiveUpdateError, Unsupported } from "./LiveUpdateError.ts"

/**
 * Memory that this process decides about. It requires its VM.
 *
 * @since 0.1.0
 * @category models
 */
export type GuestMemfd = Owned<"guest_memfd">

/**
 * Memory that came through a handover and whose session isn't finished.
 *
 * @since 0.1.0
 * @category models
 */
export type Managed = ManagedHandle<"guest_memfd">

/**
 * Tells `IncomingSession.retrieve` that a guest_memfd is expected at a token.
 *
 * @since 0.1.0
 * @category retrieval
 */
export const GuestMemfd: Retrievable<Managed> = {
  kind: "guest_memfd",
  manage: (origin) => ({ kind: "guest_memfd", custody: "managed", ...origin })
}

const kind = { kind: "guest_memfd" } as const

const PAGE = 4096

// include/uapi/asm-generic/fcntl.h
const F_SETFD = 2
const FD_CLOEXEC = 1

const SHARED = ioctl.GUEST_MEMFD_FLAG_MMAP | ioctl.GUEST_MEMFD_FLAG_INIT_SHARED

/** Adopted memory doesn't say how it was created. */
const own = (fd: number, vm: KvmVm.KvmVm): GuestMemfd => {
  const memory: GuestMemfd = {
    ...kind,
    custody: "owned",
    fd,
    requires: Effect.succeed([vm]),
    check: Effect.suspend(() => check(memory))
  }
  return memory
}

/**
 * New memory for a VM, all of it shared with the host, as its handler asks for (KVM_CREATE_GUEST_MEMFD; struct
 * kvm_create_guest_memfd: u64 size, u64 flags = MMAP | INIT_SHARED, u64 reserved[6] = 0; 64 bytes; the descriptor is the answer).
 * Pages come into being when they are touched. `size` is in bytes, a multiple of 4096. Closed with the scope.
 *
 * Fails with `InvalidSize`, `Unsupported` (this kernel or this kind of VM has no shared guest_memfd: Linux 6.18 does),
 * `VmOfAnotherProcess`, `LimitReached`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const create = Effect.fn("GuestMemfd.create")(function* (
  vm: KvmVm.KvmVm,
  options: { readonly size: number }
): Effect.fn.Return<GuestMemfd, LiveUpdateError, Scope.Scope> {
  const { size } = options
  const about = { ...kind, operation: "kvm.createGuestMemfd", errno: "none" } as const
  if (!(Number.isSafeInteger(size) && size > 0 && size % PAGE === 0)) return yield* new InvalidSize(about)
  const kernel = yield* Kernel
  const flags = yield* Fd.call("kvm.createGuestMemfd", kind, () =>
    kernel.ioctlNumber(vm.fd, ioctl.KVM_CHECK_EXTENSION, ioctl.KVM_CAP_GUEST_MEMFD_FLAGS)
  )
  if ((flags & SHARED) !== SHARED) return yield* new Unsupported(about)
  const argument = ioctl.kvm.createGuestMemfd.encode({ size: BigInt(size), flags: BigInt(SHARED) })
  const fd = yield* Fd.scoped(
    Fd.call("kvm.createGuestMemfd", kind, () => {
      const answer = kernel.ioctl(vm.fd, ioctl.kvm.createGuestMemfd.number, argument)
      // The kernel gives it without close-on-exec (`__kvm_gmem_create`): no child may be started in between.
      if (answer >= 0) kernel.fcntl(answer, F_SETFD, FD_CLOEXEC)
      return answer
    })
  )
  return own(fd, vm)
})

/**
 * The same memory as a handle that requires this VM: for one that came through a handover, whose descriptor doesn't tell. It has to
 * be the VM that it belongs to, which came with it: the kernel looks for that one when it freezes the memory.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withVm = (memory: GuestMemfd, vm: KvmVm.KvmVm): GuestMemfd => own(memory.fd, vm)

/**
 * A duplicate of the descriptor that a VMM holds (`pidfd_getfd`, needs ptrace rights over it), and the VM that it belongs to.
 * Fails with `NotFound`, `PermissionDenied`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adopt = Effect.fn("GuestMemfd.adopt")(function* (options: {
  readonly pid: number
  readonly fd: number
  readonly vm: KvmVm.KvmVm
}): Effect.fn.Return<GuestMemfd, LiveUpdateError, Scope.Scope> {
  return own(yield* Fd.adopt("kvm.adopt", kind, options), options.vm)
})

/**
 * The size in bytes; it never changes.
 *
 * Fails with `HandleClosed`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const size = (memory: GuestMemfd | Managed): Effect.Effect<number, LiveUpdateError> =>
  Effect.map(Fd.status("file.inspect", kind, memory.fd), (status) => status.size)

/**
 * Says why the handler would not preserve this memory, before anything is done: all reasons at once. Fails with `NotPreservable`
 * (`wrong-kind`, `not-shared`, `partial-page`).
 *
 * Whether adopted memory was created with INIT_SHARED can't be seen: what can be is whether it may be mapped at all.
 * Answers what becomes of it when the jump fails (`Handle.afterFreeze`).
 *
 * @since 0.1.0
 * @category operations
 */
export const check = Effect.fn("GuestMemfd.check")(function* (
  memory: GuestMemfd
): Effect.fn.Return<AfterFreeze, LiveUpdateError> {
  const fileSystem = yield* Fd.call("file.inspect", kind, (kernel) => kernel.fileSystem(memory.fd))
  if (fileSystem !== GUEST_MEMFD_MAGIC) return yield* Refusal.refuse(["wrong-kind"], kind)
  const bytes = yield* size(memory)
  const kernel = yield* Kernel
  // Without advice it is only a mapping that comes and goes: no page is touched (`kvm_gmem_mmap`).
  const mapped = yield* Effect.promise(() => kernel.madviseFile(memory.fd, PAGE, []))
  yield* Refusal.unlessNone(
    [...Refusal.when(mapped === -ENODEV, "not-shared"), ...Refusal.when(bytes % PAGE !== 0, "partial-page")],
    kind
  )
  return afterFreeze.guest_memfd
})
