/**
 * Answers about the next kernel and the jump into it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { origin, sentence } from "./Origin.ts"

/**
 * No kernel image is loaded for kexec.
 *
 * @since 0.1.0
 * @category errors
 */
export class KexecNotLoaded extends Schema.TaggedError<KexecNotLoaded>()("KexecNotLoaded", origin) {
  get next(): string {
    return "Load one first"
  }
  override get message(): string {
    return sentence(this, "No kernel is loaded for kexec")
  }
}

/**
 * Another kexec load or jump is under way.
 *
 * @since 0.1.0
 * @category errors
 */
export class KexecBusy extends Schema.TaggedError<KexecBusy>()("KexecBusy", origin) {
  get next(): string {
    return "Wait for it and try again"
  }
  override get message(): string {
    return sentence(this, "Another kexec load or jump is under way")
  }
}

/**
 * The file is no kernel image that this kernel would start.
 *
 * @since 0.1.0
 * @category errors
 */
export class KernelImageRejected extends Schema.TaggedError<KernelImageRejected>()("KernelImageRejected", origin) {
  get next(): string {
    return "Give a bzImage (x86-64) or Image (arm64) of a relocatable kernel that fits the running one's signature policy"
  }
  override get message(): string {
    return sentence(this, "The running kernel doesn't accept the image")
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
  get next(): string {
    return "Read the kernel log for the file, resume the VM"
  }
  override get message(): string {
    return sentence(this, "A preserved file could not be frozen; the jump did not happen and the sessions work again")
  }
}

/**
 * Another process is at a live update of this host.
 *
 * @since 0.1.0
 * @category errors
 */
export class HostLocked extends Schema.TaggedError<HostLocked>()("HostLocked", origin) {
  get next(): string {
    return "Wait for it, or find it with: fuser -v /run/liveupdate/host.lock"
  }
  override get message(): string {
    return sentence(this, "Another process is at a live update of this host")
  }
}
