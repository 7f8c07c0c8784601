/**
 * A virtual machine as KVM knows it: what guest_memfds belong to.
 *
 * What may not be done: after the jump the VM has no interrupt controller and no processors; retrieve it, create its interrupt
 * controller, then bring back its vCPUs. While it is preserved its vCPUs must not run when the jump freezes it.
 *
 * Preserving a VM takes the handlers that are proposed for it (`kvm_vm_luo_v1`, `kvm_vcpu_luo_v1`). Mainline 7.3 has none:
 * `NoHandler`. Sources: `include/uapi/linux/kvm.h`, `virt/kvm/kvm_main.c`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AfterFreeze, afterFreeze, type Managed as ManagedHandle, type Owned, type Retrievable } from "./Handle.ts"
import * as Fd from "./internal/fd.ts"
import * as ioctl from "./internal/ioctl.ts"
import * as Refusal from "./internal/refusal.ts"
import { O_RDWR } from "./internal/uapi.ts"
import type { LiveUpdateError } from "./LiveUpdateError.ts"

/**
 * Where VMs are created.
 *
 * @since 0.1.0
 * @category constants
 */
export const device = "/dev/kvm"

/**
 * A VM that this process decides about.
 *
 * @since 0.1.0
 * @category models
 */
export type KvmVm = Owned<"kvm_vm">

/**
 * A VM that came through a handover and whose session isn't finished.
 *
 * @since 0.1.0
 * @category models
 */
export type Managed = ManagedHandle<"kvm_vm">

/**
 * Tells `IncomingSession.retrieve` that a VM is expected at a token.
 *
 * @since 0.1.0
 * @category retrieval
 */
export const KvmVm: Retrievable<Managed> = {
  kind: "kvm_vm",
  manage: (origin) => ({ kind: "kvm_vm", custody: "managed", ...origin })
}

const kind = { kind: "kvm_vm" } as const

const own = (fd: number): KvmVm => {
  const vm: KvmVm = { ...kind, custody: "owned", fd, check: Effect.suspend(() => check(vm)) }
  return vm
}

/**
 * A new VM without memory or processors (KVM_CREATE_VM; its argument is the machine type, no struct); it ends with the last
 * descriptor of it, its vCPUs and its guest_memfds. Fails with `DriverMissing`, `PermissionDenied`, `DeviceInUse`, `LimitReached`,
 * `Unsupported` (machine type).
 *
 * @since 0.1.0
 * @category constructors
 */
export const create = Effect.fn("KvmVm.create")(function* (
  options: { readonly type?: number } = {}
): Effect.fn.Return<KvmVm, LiveUpdateError, Scope.Scope> {
  const vm = Effect.scoped(
    Effect.gen(function* () {
      const subject = { ...kind, path: device }
      const kvm = yield* Fd.scoped(Fd.call("kvm.open", subject, (kernel) => kernel.openFile(device, O_RDWR)))
      return yield* Fd.call("kvm.create", subject, (kernel) =>
        kernel.ioctlNumber(kvm, ioctl.KVM_CREATE_VM, options.type ?? 0)
      )
    })
  )
  return own(yield* Fd.scoped(vm))
})

/**
 * A duplicate of the descriptor that a VMM holds (`pidfd_getfd`, needs ptrace rights over it). Fails with `NotFound`,
 * `PermissionDenied`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adopt = Effect.fn("KvmVm.adopt")(function* (options: {
  readonly pid: number
  readonly fd: number
}): Effect.fn.Return<KvmVm, LiveUpdateError, Scope.Scope> {
  return own(yield* Fd.adopt("kvm.adopt", kind, options))
})

/**
 * Says why the handler would not preserve this VM, before anything is done. Fails with `NotPreservable` (`wrong-kind`).
 * Answers what becomes of it when the jump fails (`Handle.afterFreeze`).
 *
 * @since 0.1.0
 * @category operations
 */
export const check = Effect.fn("KvmVm.check")(function* (vm: KvmVm): Effect.fn.Return<AfterFreeze, LiveUpdateError> {
  const link = yield* Fd.linkOf(kind, vm.fd)
  yield* Refusal.unlessNone(Refusal.when(link !== "anon_inode:kvm-vm", "wrong-kind"), kind)
  return afterFreeze.kvm_vm
})
