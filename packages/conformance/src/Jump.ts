import type { SystemCalls } from "../../sdk/src/internal/Kernel.ts"
import { O_RDONLY } from "../../sdk/src/internal/uapi.ts"

// include/uapi/linux/kexec.h, include/uapi/linux/reboot.h
const KEXEC_FILE_NO_INITRAMFS = 0x4
const LINUX_REBOOT_CMD_KEXEC = 0x45584543

/** Loads an image and jumps into it; settles only if that failed, with the negated errno. */
export const jump = async (calls: SystemCalls, image: string, commandLine: string): Promise<number> => {
  const fd = calls.openFile(image, O_RDONLY)
  if (fd < 0) return fd
  const loaded = await calls.kexecFileLoad(fd, -1, commandLine, KEXEC_FILE_NO_INITRAMFS)
  calls.close(fd)
  return loaded < 0 ? loaded : calls.reboot(LINUX_REBOOT_CMD_KEXEC)
}
