import { EAGAIN, EINVAL, ENOTTY } from "../errno.ts"
import { SEEK_END } from "../uapi.ts"
import type { Special, Specials } from "./Specials.ts"

export const path = "/dev/kmsg"

/** What the kernel says of live updates: `devkmsg_read`, `devkmsg_llseek` (kernel/printk/printk.c). */
export interface KernelLog {
  readonly write: (text: string) => void
  /** A descriptor of a new reader, or a negated errno. */
  readonly open: () => number
}

const SEEK_SET = 0

export const make = (specials: Specials): KernelLog => {
  const records: Array<string> = []
  const open = (): number =>
    specials.open((): Special => {
      let next = 0
      return {
        ioctl: () => -ENOTTY,
        reopen: open,
        unreadable: -EINVAL,
        release: () => {},
        log: {
          read: (bytes) => {
            const record = records[next]
            if (record === undefined) return -EAGAIN
            const text = Buffer.from(record)
            if (text.length > bytes.length) return -EINVAL
            next++
            bytes.set(text)
            return text.length
          },
          seek: (offset, whence) => {
            if (offset !== 0 || (whence !== SEEK_SET && whence !== SEEK_END)) return -EINVAL
            next = whence === SEEK_END ? records.length : 0
            return 0
          }
        }
      }
    })
  return {
    // "priority,sequence,microseconds,flags;text"
    write: (text) => void records.push(`4,${records.length},0,-;${text}\n`),
    open
  }
}
