import * as Fs from "node:fs"
import type { SystemCalls } from "../Kernel.ts"
import { F_ADD_SEALS, MFD_ALLOW_SEALING, MFD_CLOEXEC } from "../uapi.ts"

const CHUNK = 1 << 20
const zeros = Buffer.alloc(CHUNK)

/** The position of an open file, which the system calls of the seam have no word for. */
const positionOf = (fd: number): number => {
  const info = /^pos:\s*(\d+)$/m.exec(Fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))
  return Number(info?.[1] ?? 0)
}

/** Node moves a position only by reading, so no further than to the end of the file. */
const moveTo = (fd: number, position: number): void => {
  const bytes = Buffer.alloc(Math.min(position, CHUNK))
  for (let left = position; left > 0; ) {
    const count = Fs.readSync(fd, bytes, 0, Math.min(left, bytes.length), null)
    if (count === 0) return
    left -= count
  }
}

/** 0, or a negated errno. Holes stay holes. */
const copyContents = (real: SystemCalls, from: number, to: number, size: number): number => {
  const bytes = Buffer.alloc(Math.min(size, CHUNK))
  for (let at = 0; at < size; ) {
    const count = real.read(from, bytes, at)
    if (count <= 0) return count
    const read = bytes.subarray(0, count)
    const written = read.equals(zeros.subarray(0, count)) ? count : real.write(to, read, at)
    if (written < 0) return written
    at += written
  }
  return 0
}

/** A new memfd without a name, with the same contents, size and position, and these seals. Answers a negated errno, too. */
export const make = (real: SystemCalls, fd: number, seals: number): number => {
  const status = real.status(fd)
  if (typeof status === "number") return status
  const copy = real.memfdCreate("", MFD_CLOEXEC | MFD_ALLOW_SEALING)
  if (copy < 0) return copy
  let answer = real.ftruncate(copy, status.size)
  if (answer >= 0 && status.allocated > 0) answer = copyContents(real, fd, copy, status.size)
  if (answer >= 0) {
    moveTo(copy, positionOf(fd))
    answer = real.fcntl(copy, F_ADD_SEALS, seals)
  }
  if (answer >= 0) return copy
  real.close(copy)
  return answer
}
