import { EBADF, EINVAL, ENOEXEC } from "../errno.ts"
import type { SystemCalls } from "../Kernel.ts"
import { KEXEC_FILE_NO_INITRAMFS, KEXEC_FILE_ON_CRASH, KEXEC_FILE_UNLOAD } from "../uapi.ts"

// include/uapi/linux/kexec.h
const KEXEC_FILE_FLAGS = 0x3f

// Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst
const X86_MAGIC = { offset: 0x202, text: "HdrS" }
const ARM64_MAGIC = { offset: 0x38, text: "ARM\x64" }
const HEAD = 0x240

/** `kexec_file_load` (kernel/kexec_file.c), as far as it needs no kernel to try the image on. */
export interface KernelImages {
  readonly load: (kernelFd: number, initrdFd: number, flags: number) => number
  readonly isLoaded: () => boolean
}

export const make = (real: SystemCalls): KernelImages => {
  let loaded = false

  const isImage = (fd: number): boolean | number => {
    const head = Buffer.alloc(HEAD)
    const count = real.read(fd, head, 0)
    if (count < 0) return count
    return (
      count === HEAD &&
      [X86_MAGIC, ARM64_MAGIC].some(
        ({ offset, text }) => head.toString("latin1", offset, offset + text.length) === text
      )
    )
  }

  return {
    isLoaded: () => loaded,
    load: (kernelFd, initrdFd, flags) => {
      if ((flags & ~KEXEC_FILE_FLAGS) !== 0) return -EINVAL
      if ((flags & KEXEC_FILE_UNLOAD) !== 0) {
        if ((flags & KEXEC_FILE_ON_CRASH) === 0) loaded = false
        return 0
      }
      const image = isImage(kernelFd)
      if (typeof image === "number") return image
      if (!image) return -ENOEXEC
      if ((flags & KEXEC_FILE_NO_INITRAMFS) === 0 && typeof real.status(initrdFd) === "number") return -EBADF
      if ((flags & KEXEC_FILE_ON_CRASH) === 0) loaded = true
      return 0
    }
  }
}

/** What stands in for an image that this machine doesn't have: a header and nothing else. */
export const standIn = (): Buffer => {
  const head = Buffer.alloc(HEAD)
  head.write(X86_MAGIC.text, X86_MAGIC.offset, "latin1")
  return head
}
