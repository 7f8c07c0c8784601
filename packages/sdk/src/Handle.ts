/**
 * A file descriptor of a kind that the kernel may preserve, and who decides about it.
 *
 * `owned`: this process does, and may preserve it. `managed`: it came out of an incoming session that isn't finished; it
 * can be used, but the kernel refuses to preserve it again (EBUSY) and only `finish` ends that.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fd from "./internal/fd.ts"
import type { LiveUpdateError } from "./LiveUpdateError.ts"
import type { Token } from "./Token.ts"

/**
 * What a handle's file is; each kind has a module of its own, and a handler of its own in the kernel
 * (`liveupdate_register_file_handler` in `kernel/liveupdate/luo_file.c`).
 *
 * @since 0.1.0
 * @category models
 */
export type Kind = "memfd" | "vfio" | "iommufd" | "guest_memfd" | "kvm_vm"

/**
 * Who decides about a handle: this process (`owned`), or an incoming session that isn't finished (`managed`).
 *
 * @since 0.1.0
 * @category models
 */
export type Custody = "owned" | "managed"

/**
 * A file descriptor with what is known of it: its kind and who decides about it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Handle<K extends Kind = Kind, C extends Custody = Custody> {
  readonly kind: K
  readonly custody: C
  /** The descriptor's number in this process; valid as long as the scope that acquired it. */
  readonly fd: number
}

/**
 * A handle that this process decides about: it may preserve it, change it, close it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Owned<K extends Kind = Kind> extends Handle<K, "owned"> {
  /**
   * The files that have to be preserved in the same session, each before this one: the memfds that are mapped through an
   * iommufd, the iommufd of a VFIO device, the VM of a guest_memfd. As it is when it is asked; absent, there are none.
   */
  readonly requires?: Effect.Effect<ReadonlyArray<Owned>>
  /** What its module's `check` says of it; a memfd is checked without. */
  readonly check?: Effect.Effect<AfterFreeze, LiveUpdateError>
}

/**
 * A handle that came out of an incoming session which isn't finished. Its type keeps it from being preserved, resized or
 * closed early; `Finished.own` turns it into an `Owned` one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Managed<K extends Kind = Kind> extends Handle<K, "managed"> {
  /** The session it came from. */
  readonly session: string
  readonly token: Token
}

/**
 * How a session turns the descriptor it retrieved into a handle: each kind's module exports one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Retrievable<H extends Managed> {
  readonly kind: H["kind"]
  /** The handle of a descriptor (`fd`, a number of this process) that came out of `session` at `token`. */
  readonly manage: (origin: { readonly fd: number; readonly session: string; readonly token: Token }) => H
}

/**
 * What becomes of a preserved file when the jump fails after the kernel has frozen it: it is as it was (`kept`), or it can't be used
 * any more (`lost`), and `next` says what its VMM has to do then.
 *
 * @since 0.1.0
 * @category models
 */
export type AfterFreeze =
  | { readonly fate: "kept" }
  | { readonly fate: "lost"; readonly lost: string; readonly next: string }

/**
 * By kinds. Memory, iommufds and VMs are kept. A VFIO device is reset by its freeze, as the next kernel has to find it at rest, and
 * taken from its user: the descriptor answers EIO from then on (`vfio_pci_liveupdate_freeze` of the proposed handler).
 *
 * @since 0.1.0
 * @category constants
 */
export const afterFreeze: { readonly [K in Kind]: AfterFreeze } = {
  memfd: { fate: "kept" },
  iommufd: { fate: "kept" },
  kvm_vm: { fate: "kept" },
  guest_memfd: { fate: "kept" },
  vfio: {
    fate: "lost",
    lost: "the device is reset when the jump freezes it, and its descriptor is dead, whether there is a jump or not",
    next: "Close it, open the device anew, bind and attach it, and plug it into the guest again: it has lost its state"
  }
}

const closed = new WeakSet<Owned>()

/**
 * Closes a handle before its scope does, which then leaves it alone; again, it does nothing. What a session holds of the file
 * stays preserved. A managed handle can't be closed early: `Finished.own` makes it one that can.
 *
 * @since 0.1.0
 * @category operations
 */
export const close = (handle: Owned): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (closed.has(handle)) return Effect.void
    closed.add(handle)
    return Fd.closeEarly(handle.fd)
  })
