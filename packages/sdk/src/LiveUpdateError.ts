/**
 * Every way in which the kernel can refuse a live-update operation, as one closed family of tagged errors.
 *
 * The same errno means different things at different operations (EBUSY alone has five meanings), so each pair of
 * operation and errno is translated once, by `fromErrno`, at the edge. What the table doesn't know becomes
 * `UnexpectedErrno` and keeps both.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What was asked of the kernel when it refused.
 *
 * @since 0.1.0
 * @category models
 */
export const Operation = Schema.Literal(
  "device.open",
  "session.create",
  "session.retrieve",
  "session.preserve",
  "session.retrieveFile",
  "session.finish",
  "session.name",
  "memfd.create",
  "memfd.resize",
  "memfd.seal",
  "memfd.adopt",
  "memfd.stat",
  "memfd.read",
  "memfd.write",
  "file.open",
  "host.lock",
  "kexec.load",
  "kexec.unload",
  "kexec.jump"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Operation = typeof Operation.Type

/** Fields that every member of the family carries: where it happened and what the kernel said. */
const origin = {
  operation: Operation,
  errno: Schema.String,
  session: Schema.optionalWith(Schema.String, { exact: true }),
  token: Schema.optionalWith(Schema.BigInt, { exact: true }),
  kind: Schema.optionalWith(Schema.String, { exact: true }),
  path: Schema.optionalWith(Schema.String, { exact: true })
}

/**
 * Where an operation was and what it was about; only what applies is present.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  readonly session?: string
  readonly token?: bigint
  readonly kind?: string
  readonly path?: string
}

const place = (e: Subject): string =>
  [
    e.session === undefined ? undefined : `session "${e.session}"`,
    e.token === undefined ? undefined : `token ${e.token}`,
    e.kind,
    e.path
  ]
    .filter((part) => part !== undefined)
    .join(", ")

const sentence = (e: Subject & { readonly operation: string; readonly errno: string }, what: string, next: string) => {
  const where = place(e)
  return `${what}${where === "" ? "" : ` (${where})`} [${e.operation}: ${e.errno}]. ${next}`
}

/**
 * Another process has `/dev/liveupdate` open: the kernel admits one opener at a time (`kernel/liveupdate/luo_core.c`,
 * `luo_open`).
 *
 * @since 0.1.0
 * @category errors
 */
export class DeviceBusy extends Schema.TaggedError<DeviceBusy>()("DeviceBusy", origin) {
  override get message(): string {
    return sentence(
      this,
      "Another process holds the live update device",
      "Wait for it, or find it with: fuser -v /dev/liveupdate"
    )
  }
}

/**
 * There is no `/dev/liveupdate`: the kernel was built without LUO or booted without it.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeviceMissing extends Schema.TaggedError<DeviceMissing>()("DeviceMissing", origin) {
  override get message(): string {
    return sentence(
      this,
      "This kernel offers no live update",
      "Boot a kernel with CONFIG_LIVEUPDATE=y and the parameters: kho=on liveupdate=on"
    )
  }
}

/**
 * The caller may not do this: live update and kexec need root (CAP_SYS_BOOT, CAP_SYS_ADMIN) and no lockdown.
 *
 * @since 0.1.0
 * @category errors
 */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", origin) {
  override get message(): string {
    return sentence(this, "The kernel denies it to this process", "Run as root; check lockdown and seccomp")
  }
}

/**
 * What the previous kernel handed over can't be read. Sticky for this boot: only a reboot heals it, and what was preserved
 * is lost.
 *
 * @since 0.1.0
 * @category errors
 */
export class HandoverUnreadable extends Schema.TaggedError<HandoverUnreadable>()("HandoverUnreadable", origin) {
  override get message(): string {
    return sentence(
      this,
      "The state handed over by the previous kernel can't be read",
      "Read the kernel log (dmesg | grep -i luo); only a reboot clears it, and the preserved memory is lost"
    )
  }
}

/**
 * An outgoing session of this name exists.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionExists extends Schema.TaggedError<SessionExists>()("SessionExists", origin) {
  override get message(): string {
    return sentence(this, "A session of this name exists", "Choose another name, or let its owner close it")
  }
}

/**
 * No session of this name was handed over by the previous kernel.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", origin) {
  override get message(): string {
    return sentence(this, "The previous kernel handed over no session of this name", "Nothing is there to retrieve")
  }
}

/**
 * The session was retrieved before; whoever did it holds the only way to it.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionAlreadyRetrieved extends Schema.TaggedError<SessionAlreadyRetrieved>()(
  "SessionAlreadyRetrieved",
  origin
) {
  override get message(): string {
    return sentence(
      this,
      "The session was retrieved before in this boot",
      "Ask the process that holds it; a session that was closed unfinished can't be retrieved again"
    )
  }
}

/**
 * The name is empty, longer than 63 bytes of UTF-8, or holds a NUL.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidSessionName extends Schema.TaggedError<InvalidSessionName>()("InvalidSessionName", origin) {
  override get message(): string {
    return sentence(this, "Not a session name", "Use 1 to 63 bytes of UTF-8 without NUL")
  }
}

/**
 * The file is preserved already, in this session or another, or it was retrieved and its session is not finished yet: a
 * file can be preserved only once (`kernel/liveupdate/luo_file.c`, `luo_preserve_file`). For a memfd the identity is the
 * inode, so two descriptors of one memfd are the same file.
 *
 * @since 0.1.0
 * @category errors
 */
export class AlreadyPreserved extends Schema.TaggedError<AlreadyPreserved>()("AlreadyPreserved", {
  ...origin,
  /** Who holds the file, where this process knows it. */
  holder: Schema.optionalWith(Schema.Struct({ session: Schema.String, token: Schema.BigInt }), { exact: true })
}) {
  override get message(): string {
    return sentence(
      this,
      this.holder === undefined
        ? "The file is preserved already, or was retrieved and its session is not finished"
        : `The file is preserved already, in session "${this.holder.session}" at token ${this.holder.token}`,
      "Preserve a file once; finish the session that it was retrieved from first"
    )
  }
}

/**
 * The token names another file of this session.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenInUse extends Schema.TaggedError<TokenInUse>()("TokenInUse", origin) {
  override get message(): string {
    return sentence(this, "The token names another file of this session", "Give every file a token of its own")
  }
}

/**
 * The session holds no file at this token.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenNotFound extends Schema.TaggedError<TokenNotFound>()("TokenNotFound", origin) {
  override get message(): string {
    return sentence(this, "The session holds no file at this token", "Read the tokens from the manifest")
  }
}

/**
 * This kernel has no handler that could preserve this kind of file.
 *
 * @since 0.1.0
 * @category errors
 */
export class NoHandler extends Schema.TaggedError<NoHandler>()("NoHandler", origin) {
  override get message(): string {
    return sentence(
      this,
      "This kernel has no live update handler for this kind of file",
      "Linux 7.3 preserves memfds (not hugetlb); other kinds need a kernel that carries their handler"
    )
  }
}

/**
 * The handler for this kind of file refused to preserve this one.
 *
 * @since 0.1.0
 * @category errors
 */
export class PreserveRefused extends Schema.TaggedError<PreserveRefused>()("PreserveRefused", origin) {
  override get message(): string {
    return sentence(
      this,
      "The kernel refused to preserve this file",
      "For a memfd: only seals that the kernel knows, no hugetlb, and a size that fits"
    )
  }
}

/**
 * The memfd is sealed against changing its execute bits (F_SEAL_EXEC, as MFD_NOEXEC_SEAL does) but not against writing. The
 * next kernel would bring it back sealed against writing as well: it adds the seals to a new file whose mode has execute
 * bits, where this one implies the others (`memfd_luo_retrieve` in `mm/memfd_luo.c`, `memfd_add_seals` in `mm/memfd.c`).
 * A guest's RAM would come back read-only, after the jump, when nothing can be undone. So it is refused before.
 *
 * @since 0.1.0
 * @category errors
 */
export class ExecSealed extends Schema.TaggedError<ExecSealed>()("ExecSealed", origin) {
  override get message(): string {
    return sentence(
      this,
      "The memfd carries F_SEAL_EXEC and would come back read-only from the handover",
      "Create it with MFD_EXEC instead of MFD_NOEXEC_SEAL, and see sysctl vm.memfd_noexec"
    )
  }
}

/**
 * The handler could not bring the file back. The answer is sticky: the same token gives the same errno until the session
 * is finished.
 *
 * @since 0.1.0
 * @category errors
 */
export class RetrieveFailed extends Schema.TaggedError<RetrieveFailed>()("RetrieveFailed", origin) {
  override get message(): string {
    return sentence(
      this,
      "The kernel could not bring the file back",
      "Read the kernel log; do not finish the session while other files are wanted"
    )
  }
}

/**
 * A file of the session can't be finished yet; nothing was finished and it may be tried again.
 *
 * @since 0.1.0
 * @category errors
 */
export class FinishRefused extends Schema.TaggedError<FinishRefused>()("FinishRefused", origin) {
  override get message(): string {
    return sentence(
      this,
      "A file of the session can't be finished yet, so none was",
      "Complete what its kind asks for (a VFIO device must be bound to its iommufd), then finish again"
    )
  }
}

/**
 * No kernel image is loaded for kexec.
 *
 * @since 0.1.0
 * @category errors
 */
export class KexecNotLoaded extends Schema.TaggedError<KexecNotLoaded>()("KexecNotLoaded", origin) {
  override get message(): string {
    return sentence(this, "No kernel is loaded for kexec", "Load one first")
  }
}

/**
 * Another kexec load or jump is under way.
 *
 * @since 0.1.0
 * @category errors
 */
export class KexecBusy extends Schema.TaggedError<KexecBusy>()("KexecBusy", origin) {
  override get message(): string {
    return sentence(this, "Another kexec load or jump is under way", "Wait for it and try again")
  }
}

/**
 * The file is no kernel image that this kernel would start.
 *
 * @since 0.1.0
 * @category errors
 */
export class KernelImageRejected extends Schema.TaggedError<KernelImageRejected>()("KernelImageRejected", origin) {
  override get message(): string {
    return sentence(
      this,
      "The running kernel doesn't accept the image",
      "Give a bzImage (x86-64) or Image (arm64) of a relocatable kernel that fits the running one's signature policy"
    )
  }
}

/**
 * A preserved file could not be frozen: the jump did not happen, the kernel rolled the freeze back, and the sessions work
 * again (`kernel/liveupdate/luo_core.c`, `liveupdate_reboot`).
 *
 * @since 0.1.0
 * @category errors
 */
export class FreezeFailed extends Schema.TaggedError<FreezeFailed>()("FreezeFailed", origin) {
  override get message(): string {
    return sentence(
      this,
      "A preserved file could not be frozen; the jump did not happen and the sessions work again",
      "Read the kernel log for the file, resume the VM"
    )
  }
}

/**
 * Another process is at a live update of this host.
 *
 * @since 0.1.0
 * @category errors
 */
export class HostLocked extends Schema.TaggedError<HostLocked>()("HostLocked", origin) {
  override get message(): string {
    return sentence(
      this,
      "Another process is at a live update of this host",
      "Wait for it, or find it with: fuser -v /run/liveupdate/host.lock"
    )
  }
}

/**
 * The file or process isn't there.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", origin) {
  override get message(): string {
    return sentence(this, "It does not exist", "Check the name")
  }
}

/**
 * A limit of the kernel or of memory was reached.
 *
 * @since 0.1.0
 * @category errors
 */
export class LimitReached extends Schema.TaggedError<LimitReached>()("LimitReached", origin) {
  override get message(): string {
    return sentence(this, "A limit of the kernel was reached", "Free memory or descriptors, or split the session")
  }
}

/**
 * This kernel doesn't know the request.
 *
 * @since 0.1.0
 * @category errors
 */
export class Unsupported extends Schema.TaggedError<Unsupported>()("Unsupported", origin) {
  override get message(): string {
    return sentence(this, "This kernel doesn't know the request", "A newer kernel is needed for it")
  }
}

/**
 * An errno that the table doesn't know for this operation.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnexpectedErrno extends Schema.TaggedError<UnexpectedErrno>()("UnexpectedErrno", {
  ...origin,
  number: Schema.Number
}) {
  override get message(): string {
    return sentence(this, "The kernel gave an answer that is unknown here", "Please report it with the kernel log")
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export const LiveUpdateError = Schema.Union(
  DeviceBusy,
  DeviceMissing,
  PermissionDenied,
  HandoverUnreadable,
  SessionExists,
  SessionNotFound,
  SessionAlreadyRetrieved,
  InvalidSessionName,
  AlreadyPreserved,
  TokenInUse,
  TokenNotFound,
  NoHandler,
  PreserveRefused,
  ExecSealed,
  RetrieveFailed,
  FinishRefused,
  KexecNotLoaded,
  KexecBusy,
  KernelImageRejected,
  FreezeFailed,
  HostLocked,
  NotFound,
  LimitReached,
  Unsupported,
  UnexpectedErrno
)

/**
 * @since 0.1.0
 * @category models
 */
export type LiveUpdateError = typeof LiveUpdateError.Type
