import type { Subject } from "../errors/Origin.ts"
import type { Kind } from "../Handle.ts"
import type { SystemCalls } from "./Kernel.ts"
import { O_NONBLOCK, O_RDONLY, SEEK_END } from "./uapi.ts"

/** A record of the log: at most CONSOLE_EXT_LOG_MAX bytes (`PRINTKRB_RECORD_MAX`, kernel/printk/internal.h). */
const RECORD = 8192

/** `luo_file_freeze` (kernel/liveupdate/luo_file.c): "Freeze failed for token[0x1] handler[vfio-pci-v1] err[-EINVAL]". */
const FAILED = /;.*Freeze failed for token\[(0x[0-9a-f]+|0)\] handler\[([^\]]+)\]/

/** A handler's name begins with the kind of its files: `vfio-pci-v1`, `guest_memfd_luo_v1`. */
const kinds: ReadonlyArray<Kind> = ["memfd", "iommufd", "vfio", "guest_memfd", "kvm_vm"]

const subjectOf = (record: string): Subject | undefined => {
  const [, token, handler] = FAILED.exec(record) ?? []
  if (token === undefined || handler === undefined) return undefined
  const kind = kinds.find((kind) => handler.startsWith(kind))
  return { token: BigInt(token), object: `handler ${handler}`, ...(kind === undefined ? {} : { kind }) }
}

/**
 * Which file refused to be frozen: the kernel says so in its log alone. To be opened before the jump, as only what is written from
 * then on counts; a log that can't be read has nothing to say.
 */
export const watch = (kernel: SystemCalls): { readonly find: () => Subject; readonly close: () => void } => {
  const fd = kernel.openFile("/dev/kmsg", O_RDONLY | O_NONBLOCK)
  if (fd < 0) return { find: () => ({}), close: () => {} }
  const there = kernel.seek(fd, 0, SEEK_END) >= 0
  return {
    find: () => {
      const record = Buffer.alloc(RECORD)
      let found: Subject = {}
      for (let bytes = there ? 1 : 0; bytes > 0; ) {
        bytes = kernel.read(fd, record, 0)
        if (bytes > 0) found = subjectOf(record.toString("utf8", 0, bytes)) ?? found
      }
      return found
    },
    close: () => void kernel.close(fd)
  }
}
