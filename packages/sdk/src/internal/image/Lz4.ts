/**
 * LZ4's old frame format, which `lz4 -l` writes: blocks of at most 8 MiB that know nothing of each other
 * (`lib/decompress_unlz4.c`, `lib/lz4/lz4_decompress.c`). Written out here: the libraries on npm read the new format, or call native code.
 */
import { Damaged } from "./Damaged.ts"

export const MAGIC = 0x184c2102
const BLOCK_BYTES = 8 << 20
/** Bytes: fewer are copied one by one, as a call takes longer. Most are. */
const SHORT = 64

/** One block into `output` at `start`; returns where it ends there. */
const decodeBlock = (input: Buffer, output: Buffer, start: number): number => {
  let at = 0
  let out = start
  const byte = (): number => {
    const value = input[at++]
    if (value === undefined) throw new Damaged("a block ends in the middle")
    return value
  }
  /** 15 in the token says that bytes follow, the last of which is below 255. */
  const length = (nibble: number): number => {
    let value = nibble
    if (nibble === 15)
      for (let more = 255; more === 255; value += more) {
        more = byte()
      }
    return value
  }
  const limit = Math.min(output.length, start + BLOCK_BYTES)
  while (at < input.length) {
    const token = byte()
    const literals = length(token >>> 4)
    if (literals > input.length - at || literals > limit - out) throw new Damaged("a block ends in the middle")
    if (literals < SHORT) for (let i = 0; i < literals; i++) output[out + i] = input[at + i] ?? 0
    else input.copy(output, out, at, at + literals)
    at += literals
    out += literals
    // The last sequence is literals only.
    if (at === input.length) break
    const distance = byte() | (byte() << 8)
    const end = out + length(token & 15) + 4
    if (distance === 0 || distance > out - start || end > limit) throw new Damaged("a match points outside its block")
    // What is copied may reach into what is being written: then byte by byte, which repeats it.
    if (distance < end - out || end - out < SHORT) for (; out < end; out++) output[out] = output[out - distance] ?? 0
    else output.copyWithin(out, out - distance, end - distance)
    out = end
  }
  return out
}

/**
 * Decompresses into `output`; returns how much of it was filled.
 *
 * Throws `Damaged`.
 */
export const decompress = (input: Buffer, output: Buffer): number => {
  let at = 0
  let written = 0
  while (at + 4 <= input.length) {
    const size = input.readUInt32LE(at)
    at += 4
    // Files may be put behind one another; zero is padding.
    if (size === MAGIC) continue
    if (size === 0) break
    if (size > input.length - at) throw new Damaged("it ends in the middle")
    written = decodeBlock(input.subarray(at, at + size), output, written)
    at += size
  }
  return written
}
