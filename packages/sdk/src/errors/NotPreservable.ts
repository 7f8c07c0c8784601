/**
 * What `check` says: why a file could not be preserved as it is.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { origin, sentence } from "./Origin.ts"

/** Why a file can't be preserved, and what to do about it. */
const reasons = {
  "wrong-kind": ["it is a file of another kind", "Give the handle the descriptor of the kind that it is for"],
  hugetlb: [
    "it is made of hugetlb pages",
    "Create it without MFD_HUGETLB; ask for huge folios instead (Memfd.create, hugePages)"
  ],
  linked: ["it has a name in a file system", "Use a memfd, or unlink the file"],
  "not-memory": ["it is no shared memory", "Preserve memfds; other files have a kind of their own"],
  "unknown-seals": ["it carries seals that the handler doesn't know", "Create it with known seals only"],
  "exec-sealed": [
    "it carries F_SEAL_EXEC without F_SEAL_WRITE and would come back read-only",
    "Create it with MFD_EXEC instead of MFD_NOEXEC_SEAL, and see sysctl vm.memfd_noexec"
  ],
  "too-large": ["it has 2^32 pages or more", "Split it"],
  "unsealed-mapping": [
    "memory is mapped through it whose memfd may still change its size or its seals",
    "Seal the memfd (seal, grow, shrink) before it is mapped, or unmap it"
  ],
  "not-bound": ["the device is not bound to an iommufd", "Bind it first (VfioDevice.bind)"],
  "other-driver": [
    "the device's driver is not vfio-pci",
    "Bind the device to vfio-pci: write vfio-pci to driver_override, unbind it, write its address to drivers_probe"
  ],
  "virtual-function": [
    "the device is a virtual function, whose number and place its physical function decides",
    "Give the guest a physical function"
  ],
  "not-in-d0": [
    "the device sleeps",
    "Wake it: open and bind it, and keep the guest from suspending it (PCI power state D0)"
  ],
  "not-shared": [
    "the host can't map all of the guest's memory",
    "Create it with GUEST_MEMFD_FLAG_MMAP and GUEST_MEMFD_FLAG_INIT_SHARED (GuestMemfd.create does)"
  ],
  "partial-page": ["its size is no multiple of 4096 bytes", "Create it in whole pages"]
} as const

/**
 * Why `check` says that a file can't be preserved as it is.
 *
 * Any kind:
 * - `wrong-kind`: the descriptor is not what its handle says.
 *
 * memfd (`mm/memfd_luo.c`):
 * - `hugetlb`: a hugetlb file is no shmem file, the memfd handler doesn't take it (`memfd_luo_can_preserve`).
 * - `linked`: only files without a name count (`i_nlink`, same place).
 * - `not-memory`: neither.
 * - `unknown-seals`: EOPNOTSUPP from `memfd_luo_preserve`.
 * - `exec-sealed`: the kernel would accept it and bring it back sealed against writing: `memfd_luo_retrieve` adds the seals to
 *   a new file whose mode has execute bits, where F_SEAL_EXEC implies the others (`memfd_add_seals` in `mm/memfd.c`). A
 *   guest's RAM would come back read-only, after the jump, when nothing can be undone. So it is refused before.
 * - `too-large`: EFBIG from `memfd_luo_preserve`.
 *
 * iommufd, VFIO device, guest_memfd: what the handlers that are proposed for them ask for; mainline 7.3 has none.
 * - `unsealed-mapping`: page tables that live on must point to memory that can't go away.
 * - `not-bound`, `other-driver`, `virtual-function`, `not-in-d0`: a vfio-pci device, bound to an iommufd, no VF; awake when it is
 *   frozen.
 * - `not-shared`, `partial-page`: guest memory that the host may map, in 4 KiB pages.
 *
 * @since 0.1.0
 * @category models
 */
export const Reason = Schema.Literal(
  "wrong-kind",
  "hugetlb",
  "linked",
  "not-memory",
  "unknown-seals",
  "exec-sealed",
  "too-large",
  "unsealed-mapping",
  "not-bound",
  "other-driver",
  "virtual-function",
  "not-in-d0",
  "not-shared",
  "partial-page"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * The file can't be preserved as it is, for these reasons: found by the SDK, before the kernel was asked or to explain its
 * refusal.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotPreservable extends Schema.TaggedError<NotPreservable>()("NotPreservable", {
  ...origin,
  reasons: Schema.NonEmptyArray(Reason)
}) {
  get next(): string {
    return this.reasons.map((reason) => reasons[reason][1]).join(". ")
  }
  override get message(): string {
    return sentence(this, `The file can't be preserved: ${this.reasons.map((reason) => reasons[reason][0]).join("; ")}`)
  }
}
