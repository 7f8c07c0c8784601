/**
 * Answers about a file: preserving it, bringing it back, using it meanwhile.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Token from "../Token.ts"
import { origin, sentence } from "./Origin.ts"

/**
 * Which session holds a file, under which token, and the token's name where it is known.
 *
 * @since 0.1.0
 * @category models
 */
export const Holder = Schema.Struct({
  session: Schema.String,
  token: Schema.BigInt,
  file: Schema.optionalWith(Schema.String, { exact: true })
})

/**
 * @since 0.1.0
 * @category models
 */
export type Holder = typeof Holder.Type

/**
 * The file is preserved already, in this session or in another: a file can be preserved only once
 * (`luo_preserve_file` in `kernel/liveupdate/luo_file.c`). For a memfd the identity is the inode, so two descriptors of one
 * memfd are the same file; for other kinds it is the open file.
 *
 * The kernel says EBUSY and no more. `holder` is there whenever this process preserved the file itself; without it the file
 * may also be one that another process retrieved and whose session isn't finished.
 *
 * @since 0.1.0
 * @category errors
 */
export class AlreadyPreserved extends Schema.TaggedError<AlreadyPreserved>()("AlreadyPreserved", {
  ...origin,
  holder: Schema.optionalWith(Holder, { exact: true })
}) {
  get next(): string {
    return this.holder === undefined
      ? "Find the process that preserved it, or that retrieved it and has yet to finish its session; a file can be preserved once"
      : "Preserve a file once; closing the session that holds it gives it back"
  }
  override get message(): string {
    if (this.holder === undefined)
      return sentence(this, "The file is preserved already, or was retrieved and its session is not finished")
    const where = this.holder.session === this.session ? "in this session" : `in session "${this.holder.session}"`
    return sentence(
      this,
      `The file is preserved already, ${where} as ${Token.format(this.holder.token, this.holder.file)}`
    )
  }
}

/**
 * The file came out of an incoming session that isn't finished: until then it stays managed and can't be preserved again
 * (`luo_retrieve_file` enters it into `luo_preserved_files`, `luo_file_finish` takes it out; `kernel/liveupdate/luo_file.c`).
 * The same EBUSY as `AlreadyPreserved`; this process, or the manifest of a session that it holds, knows the difference.
 *
 * @since 0.1.0
 * @category errors
 */
export class ManagedUntilFinish extends Schema.TaggedError<ManagedUntilFinish>()("ManagedUntilFinish", {
  ...origin,
  holder: Holder
}) {
  get next(): string {
    return `Finish session "${this.holder.session}" first`
  }
  override get message(): string {
    return sentence(
      this,
      `The file was retrieved from session "${this.holder.session}" as ${Token.format(this.holder.token, this.holder.file)}, and that session is not finished`
    )
  }
}

/**
 * The token names another file of this session (`luo_token_is_used` in `kernel/liveupdate/luo_file.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenInUse extends Schema.TaggedError<TokenInUse>()("TokenInUse", origin) {
  get next(): string {
    return "Give every file a token of its own"
  }
  override get message(): string {
    return sentence(this, "The token names another file of this session")
  }
}

/**
 * The session holds no file at this token (`luo_retrieve_file` in `kernel/liveupdate/luo_file.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenNotFound extends Schema.TaggedError<TokenNotFound>()("TokenNotFound", origin) {
  get next(): string {
    return "Read the tokens from the manifest"
  }
  override get message(): string {
    return sentence(this, "The session holds no file at this token")
  }
}

/** What would have to be in the kernel for it to preserve a kind of file, as far as it is known. */
const broughtBy: Readonly<Record<string, string>> = {
  memfd:
    "CONFIG_LIVEUPDATE_MEMFD (mm/memfd_luo.c, in mainline since 6.19) preserves memfds that aren't hugetlb and have no name in a file system",
  vfio: "It takes the proposed vfio-pci handler (vfio-pci-v1), which mainline 7.3 doesn't have",
  iommufd: "It takes the proposed iommufd handler (iommufd-v1), which mainline 7.3 doesn't have",
  guest_memfd: "It takes the proposed guest_memfd handler (guest_memfd_luo_v1), which mainline 7.3 doesn't have",
  kvm_vm: "It takes the proposed KVM handlers (kvm_vm_luo_v1, kvm_vcpu_luo_v1), which mainline 7.3 doesn't have"
}

/** What else ENOENT means on a kernel that has the handler. */
const orElse: Readonly<Record<string, string>> = {
  vfio: "a kernel that has it says so of a device that isn't bound, is no whole device of vfio-pci, or whose iommufd is not in the same session",
  iommufd: "a kernel that has it says so when mapped memory is not in the same session"
}

/**
 * This kernel has no handler that could preserve this kind of file (no `can_preserve` said yes in `luo_preserve_file`,
 * `kernel/liveupdate/luo_file.c`); the message names the kernel work that brings it.
 *
 * The handlers that are proposed answer ENOENT as well: to files that are not as they take them, and to those that need another
 * file of the same session (`liveupdate_get_token_outgoing`). `check` and `Preservation` find both before the kernel is asked.
 *
 * @since 0.1.0
 * @category errors
 */
export class NoHandler extends Schema.TaggedError<NoHandler>()("NoHandler", origin) {
  get next(): string {
    const kind = this.kind ?? ""
    const work =
      broughtBy[kind] ??
      "Linux 7.3 preserves memfds (not hugetlb); other kinds take a kernel that carries their handler"
    const other = this.errno === "ENOENT" ? orElse[kind] : undefined
    return other === undefined ? work : `${work}; ${other}`
  }
  override get message(): string {
    return sentence(this, "This kernel has no live update handler for this kind of file")
  }
}

/**
 * The handler for this kind of file refused to preserve this one, with whatever errno it has for that. Where `check` finds the
 * reason, it is `NotPreservable` instead.
 *
 * @since 0.1.0
 * @category errors
 */
export class PreserveRefused extends Schema.TaggedError<PreserveRefused>()("PreserveRefused", origin) {
  get next(): string {
    return "Read the kernel log for the handler's reason"
  }
  override get message(): string {
    return sentence(this, "The kernel refused to preserve this file")
  }
}

/**
 * The memfd can't be changed like that: its size is frozen while it is preserved (EPERM; `shmem_setattr` and
 * `shmem_write_begin` in `mm/shmem.c`), a seal forbids it (EPERM), or it is to be sealed against writing while it is mapped
 * for writing or its pages are pinned (EBUSY; `memfd_add_seals` in `mm/memfd.c`). Its pages stay writable while it is preserved.
 *
 * @since 0.1.0
 * @category errors
 */
export class MemoryFrozen extends Schema.TaggedError<MemoryFrozen>()("MemoryFrozen", origin) {
  get next(): string {
    return this.errno === "EBUSY"
      ? "Unmap it where it is mapped for writing, and close the session that preserves it: then it can be sealed"
      : "Change it before it is preserved, or after its session was closed or finished; a seal is for ever"
  }
  override get message(): string {
    return sentence(this, "The memory can't be changed like that: it is preserved, or sealed")
  }
}

/**
 * Not a size in bytes: negative, a fraction, or more than a file may have.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidSize extends Schema.TaggedError<InvalidSize>()("InvalidSize", origin) {
  get next(): string {
    return this.kind === "guest_memfd"
      ? "Give a multiple of 4096 bytes, at least one page"
      : "Give a whole number of bytes from 0 to 2^53-1"
  }
  override get message(): string {
    return sentence(this, "Not a size in bytes")
  }
}

/**
 * A handle was given to a session that it didn't come from.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotOfThisSession extends Schema.TaggedError<NotOfThisSession>()("NotOfThisSession", origin) {
  get next(): string {
    return "Ask the session that it was retrieved from"
  }
  override get message(): string {
    return sentence(this, "The handle was not retrieved from this session")
  }
}

/**
 * The handler could not bring the file back. The answer is sticky: the same token gives the same errno until the session
 * is finished (`retrieve_status` in `luo_retrieve_file`, `kernel/liveupdate/luo_file.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class RetrieveFailed extends Schema.TaggedError<RetrieveFailed>()("RetrieveFailed", origin) {
  get next(): string {
    return "Read the kernel log for the handler's reason; retrieve the other files before the session is finished, as this one is lost"
  }
  override get message(): string {
    return sentence(this, "The kernel could not bring the file back")
  }
}

/**
 * The file, the process or its descriptor isn't there.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", origin) {
  get next(): string {
    return "Check the path, and whether the process still runs"
  }
  override get message(): string {
    return sentence(this, "It does not exist")
  }
}
