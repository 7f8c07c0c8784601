/**
 * Answers about the live update device as a whole.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { origin, sentence } from "./Origin.ts"

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

/**
 * The caller may not do this: live update and kexec need root (CAP_SYS_BOOT, CAP_SYS_ADMIN) and no lockdown.
 *
 * @since 0.1.0
 * @category errors
 */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", origin) {
  get next(): string {
    return "Run as root; check lockdown and seccomp"
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
 * This kernel doesn't know the request.
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
  memory: ["memory", "Free memory, or preserve less"],
  descriptors: [
    "file descriptors",
    "Raise RLIMIT_NOFILE or fs.file-max; every session and every retrieved file is one"
  ],
  sessions: ["room for sessions", "Put more files into fewer sessions"],
  files: ["room for files in this session", "Spread the files over several sessions"]
} as const

/**
 * A limit was reached; `limit` says which: memory (ENOMEM), this process's or the host's descriptors (EMFILE, ENFILE), the
 * kernel's room for sessions or for the files of one (ENOSPC: `kho_block_set_grow` in `kernel/liveupdate/kho_block.c` stops at
 * 10,000 blocks in 7.3, older kernels at a fixed number of pages).
 *
 * @since 0.1.0
 * @category errors
 */
export class LimitReached extends Schema.TaggedError<LimitReached>()("LimitReached", {
  ...origin,
  limit: Schema.Literal("memory", "descriptors", "sessions", "files")
}) {
  get next(): string {
    return limits[this.limit][1]
  }
  override get message(): string {
    return sentence(this, `There is no more ${limits[this.limit][0]}`)
  }
}

/**
 * The descriptor isn't open: the scope that acquired the handle has ended.
 *
 * @since 0.1.0
 * @category errors
 */
export class HandleClosed extends Schema.TaggedError<HandleClosed>()("HandleClosed", origin) {
  get next(): string {
    return "Use a handle inside the scope that acquired it"
  }
  override get message(): string {
    return sentence(this, "The descriptor is not open any more")
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
    return "Please report it with the kernel log"
  }
  override get message(): string {
    return sentence(this, "The kernel gave an answer that is unknown here")
  }
}
