/**
 * Answers about the live update device as a whole.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { type Operation, origin, sentence } from "./Origin.ts"

/**
 * Another process has `/dev/liveupdate` open: the kernel admits one opener at a time (`kernel/liveupdate/luo_core.c`,
 * `luo_open`).
 *
 * @since 0.1.0
 * @category errors
 */
export class DeviceBusy extends Schema.TaggedError<DeviceBusy>()("DeviceBusy", origin) {
  get next(): string {
    return "Wait for it, or find it with: fuser -v /dev/liveupdate"
  }
  override get message(): string {
    return sentence(this, "Another process holds the live update device")
  }
}

/**
 * There is no `/dev/liveupdate`: the kernel was built without LUO or booted without it.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeviceMissing extends Schema.TaggedError<DeviceMissing>()("DeviceMissing", origin) {
  get next(): string {
    return "Boot a kernel with CONFIG_LIVEUPDATE=y and the parameters: kho=on liveupdate=on"
  }
  override get message(): string {
    return sentence(this, "This kernel offers no live update")
  }
}

/** What stands in the way of an operation besides not being root. */
const permissions: { readonly [O in Operation]?: string } = {
  "device.open": "Run as root: the device node is root's alone",
  "memfd.create": "See sysctl vm.memfd_noexec: at 2 a memfd can't be created so that a handover keeps it writable",
  "kexec.load":
    "Run as root, outside containers; see sysctl kernel.kexec_load_disabled and /sys/kernel/security/lockdown",
  "kexec.jump": "Run as root, outside containers (CAP_SYS_BOOT)"
}

const adopting = "Run as root, or with ptrace rights over the process (CAP_SYS_PTRACE; sysctl kernel.yama.ptrace_scope)"

/**
 * The caller may not do this: live update and kexec need root (CAP_SYS_BOOT, CAP_SYS_ADMIN) and no lockdown, taking another
 * process's descriptor needs ptrace rights over it.
 *
 * @since 0.1.0
 * @category errors
 */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", origin) {
  get next(): string {
    const adopts = this.operation.endsWith(".adopt")
    return permissions[this.operation] ?? (adopts ? adopting : "Run as root; check lockdown and seccomp")
  }
  override get message(): string {
    return sentence(this, "The kernel denies it to this process")
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
  get next(): string {
    return "Read the kernel log (dmesg | grep -i luo); only a reboot clears it, and the preserved memory is lost"
  }
  override get message(): string {
    return sentence(this, "The state handed over by the previous kernel can't be read")
  }
}

/**
 * This kernel doesn't know the request (`luo_session_ioctl` in `kernel/liveupdate/luo_session.c` and its like).
 *
 * @since 0.1.0
 * @category errors
 */
export class Unsupported extends Schema.TaggedError<Unsupported>()("Unsupported", origin) {
  get next(): string {
    return "A newer kernel is needed for it"
  }
  override get message(): string {
    return sentence(this, "This kernel doesn't know the request")
  }
}

/** What ran out, and what to do about it. */
const limits = {
  memory: [
    "memory",
    "Free memory, or preserve less; older kernels say so as well when there are too many sessions or files"
  ],
  image: [
    "room for the next kernel and its initramfs",
    "Give a smaller initramfs, or boot with more scratch memory (kernel parameter kho_scratch=)"
  ],
  descriptors: [
    "file descriptors",
    "Raise RLIMIT_NOFILE or fs.file-max; every session and every retrieved file is one"
  ],
  sessions: ["room for sessions", "Put more files into fewer sessions"],
  files: [
    "room for files in this session",
    "Spread the files over several sessions; under vm.overcommit_memory=2 it can be memory, too"
  ],
  addresses: ["room for a mapping of this size", "Unmap something, or map less"]
} as const

/**
 * A limit was reached; `limit` says which: memory (ENOMEM), this process's or the host's descriptors (EMFILE, ENFILE), the
 * kernel's room for sessions or for the files of one (ENOSPC: `kho_block_add` in `kernel/liveupdate/kho_block.c` stops at
 * 10,000 blocks of 4 KiB in 7.3, older kernels at a fixed number of pages), the scratch memory that an image is loaded into
 * (EADDRNOTAVAIL: `kho_locate_mem_hole` in `kernel/liveupdate/kexec_handover.c`), or the addresses that devices can reach (ENOSPC
 * from an iommufd).
 *
 * @since 0.1.0
 * @category errors
 */
export class LimitReached extends Schema.TaggedError<LimitReached>()("LimitReached", {
  ...origin,
  limit: Schema.Literal("memory", "descriptors", "sessions", "files", "image", "addresses")
}) {
  get next(): string {
    return limits[this.limit][1]
  }
  override get message(): string {
    return sentence(this, `There is no more ${limits[this.limit][0]}`)
  }
}

/**
 * The descriptor isn't open: the scope that acquired the handle has ended. Or it was adopted from a process that had it open
 * for reading only, and is written to.
 *
 * @since 0.1.0
 * @category errors
 */
export class HandleClosed extends Schema.TaggedError<HandleClosed>()("HandleClosed", origin) {
  get next(): string {
    return "Use a handle inside the scope that acquired it; one that was adopted must be open for writing to be written"
  }
  override get message(): string {
    return sentence(this, "The descriptor is not open, or not for this")
  }
}

/**
 * The descriptor names something else than its handle says: a number that was adopted wrongly, a session that isn't one or
 * that was created here and not retrieved (`luo_ioctl_type_valid` in `kernel/liveupdate/luo_session.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class WrongKind extends Schema.TaggedError<WrongKind>()("WrongKind", origin) {
  get next(): string {
    return "Look at what the descriptor is: ls -l /proc/PID/fd"
  }
  override get message(): string {
    return sentence(this, "The descriptor is something else than its handle says")
  }
}

/** What an operation takes, for those that know. */
const accepted: { readonly [O in Operation]?: string } = {
  "memfd.create": "Give a name of at most 249 bytes"
}

/**
 * The kernel doesn't take one of the arguments.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidArgument extends Schema.TaggedError<InvalidArgument>()("InvalidArgument", origin) {
  get next(): string {
    return accepted[this.operation] ?? "Compare the arguments with what the operation's documentation allows"
  }
  override get message(): string {
    return sentence(this, "The kernel doesn't take an argument of the request")
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
  get next(): string {
    return "Look for the operation in the kernel log (dmesg), and please report it together with that"
  }
  override get message(): string {
    return sentence(this, "The kernel gave an answer that is unknown here")
  }
}
