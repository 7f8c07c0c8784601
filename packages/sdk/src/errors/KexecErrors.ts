/**
 * Answers about the next kernel and the jump into it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { origin, sentence } from "./Origin.ts"

/**
 * No kernel image is loaded for kexec (`kernel_kexec` in `kernel/kexec_core.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class KexecNotLoaded extends Schema.TaggedError<KexecNotLoaded>()("KexecNotLoaded", origin) {
  get next(): string {
    return "Load one first (Kexec.load); if that was done, somebody has unloaded it since"
  }
  override get message(): string {
    return sentence(this, "No kernel is loaded for kexec")
  }
}

/**
 * Another kexec load or jump is under way (`kexec_trylock` in `kernel/kexec_core.c` and `kernel/kexec_file.c`). At the jump a
 * file's freeze may have answered EBUSY as well; the kernel doesn't tell them apart, and has rolled that back.
 *
 * @since 0.1.0
 * @category errors
 */
export class KexecBusy extends Schema.TaggedError<KexecBusy>()("KexecBusy", origin) {
  get next(): string {
    return this.operation === "kexec.jump"
      ? 'Try again; if it stays so, look for "Freeze failed" in the kernel log'
      : "Wait for it and try again"
  }
  override get message(): string {
    return sentence(this, "Another kexec load or jump is under way")
  }
}

const signature =
  "The image's signature is missing or not of a key that this kernel trusts: sign it, enrol the key, or boot without lockdown"

/** Why an image was not accepted, where the errno says more than that. */
const rejected: Readonly<Record<string, string>> = {
  ENODATA: signature,
  ENOPKG: signature,
  EBADMSG: signature,
  ELIBBAD: signature,
  ENOKEY: signature,
  EKEYEXPIRED: signature,
  EKEYREVOKED: signature,
  EKEYREJECTED: signature,
  ETXTBSY: "Somebody still writes the file: wait until it is copied completely",
  EFBIG: "The file is too large for a kernel or an initramfs",
  EIO: "The file can't be read: look for the disk's errors in the kernel log"
}

/**
 * The file is no kernel image that this kernel would start: no relocatable image, a command line that is too long, a signature
 * that is missing or not trusted (`kexec_file_load` in `kernel/kexec_file.c`, `bzImage64_probe` and `bzImage64_load` in
 * `arch/x86/kernel/kexec-bzimage64.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class KernelImageRejected extends Schema.TaggedError<KernelImageRejected>()("KernelImageRejected", origin) {
  get next(): string {
    return (
      rejected[this.errno] ??
      "Give a bzImage (x86-64) or Image (arm64) of a relocatable kernel, and a command line of at most 2016 bytes"
    )
  }
  override get message(): string {
    return sentence(this, "The running kernel doesn't accept the image")
  }
}

/**
 * A preserved file could not be frozen: the jump did not happen, the kernel rolled the freeze back, and the sessions work
 * again (`kernel/liveupdate/luo_core.c`, `liveupdate_reboot`). `token` and `kind` say which file it was, if the kernel's log
 * can be read, which is all that tells; tokens are a session's own.
 *
 * @since 0.1.0
 * @category errors
 */
export class FreezeFailed extends Schema.TaggedError<FreezeFailed>()("FreezeFailed", origin) {
  get next(): string {
    return this.token === undefined
      ? "Resume the VM; the kernel log says which file it was (Freeze failed for token …)"
      : "Resume the VM, put that file right, and try again"
  }
  override get message(): string {
    return sentence(this, "A preserved file could not be frozen; the jump did not happen and the sessions work again")
  }
}

/**
 * Another process is at a live update of this host: it holds the lock that `HostLock.acquire` takes.
 *
 * @since 0.1.0
 * @category errors
 */
export class HostLocked extends Schema.TaggedError<HostLocked>()("HostLocked", origin) {
  get next(): string {
    return `Wait for it, or find it with: fuser -v ${this.path ?? "/run/liveupdate/host.lock"}`
  }
  override get message(): string {
    return sentence(this, "Another process is at a live update of this host")
  }
}
