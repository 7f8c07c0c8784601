/**
 * The .xz container (https://tukaani.org/xz/xz-file-format.txt; the kernel reads it in `lib/xz/xz_dec_stream.c`): blocks of LZMA2 behind at
 * most one branch filter.
 */
import { crc32 } from "node:zlib"
import * as BranchFilters from "./BranchFilters.ts"
import { Damaged, Unsupported } from "./Damaged.ts"
import * as Lzma2 from "./Lzma2.ts"

const STREAM_HEADER = 12
const CRC32 = 1
const LZMA2 = 0x21
const filters: { readonly [id: number]: (block: Buffer) => void } = { 4: BranchFilters.x86, 10: BranchFilters.arm64 }

const read32 = (bytes: Buffer, at: number): number => {
  if (at + 4 > bytes.length) throw new Damaged("it ends in the middle")
  return bytes.readUInt32LE(at)
}

/** The bytes of a block's check, from its kind: 0, then three kinds each of 4, 8, 16, 32 and 64. */
const checkBytes = (kind: number): number => (kind === 0 ? 0 : 4 << Math.floor((kind - 1) / 3))

/** The branch filter of a block, from its header without the checksum. */
const filterOf = (header: Buffer): ((block: Buffer) => void) | undefined => {
  let at = 2
  const number = (): number => {
    let value = 0
    for (let i = 0; i < 9; i++) {
      const byte = header[at++]
      if (byte === undefined) break
      value += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) return value
    }
    throw new Damaged("a number in its header doesn't end")
  }
  const flags = header[1] ?? 0
  if ((flags & 0x3c) !== 0) throw new Unsupported("its xz header has unknown flags")
  if ((flags & 0x40) !== 0) number()
  if ((flags & 0x80) !== 0) number()
  const chain = Array.from({ length: (flags & 3) + 1 }, () => {
    const id = number()
    const size = number()
    if (size > header.length - at) throw new Damaged("a filter in its header doesn't end")
    const properties = header.subarray(at, at + size)
    at += size
    return { id, properties }
  })
  if (chain.at(-1)?.id !== LZMA2 || chain.length > 2) throw new Unsupported("its xz filters are others than a kernel's")
  const [first] = chain
  if (first === undefined || chain.length === 1) return undefined
  const filter = filters[first.id]
  // With properties it would begin at another address than 0.
  if (filter === undefined || first.properties.length > 0)
    throw new Unsupported("its xz filters are others than a kernel's")
  return filter
}

/**
 * Decompresses one stream into `output`; returns how much of it was filled. What follows the stream is not looked at.
 *
 * Throws `Damaged`, `Unsupported`.
 */
export const decompress = (input: Buffer, output: Buffer): number => {
  if (input.length < STREAM_HEADER) throw new Damaged("it ends in the middle")
  if (crc32(input.subarray(6, 8)) !== input.readUInt32LE(8)) throw new Damaged("its xz header is damaged")
  const check = (input[7] ?? 0) & 0x0f
  let at = STREAM_HEADER
  let written = 0
  for (;;) {
    const size = input[at]
    if (size === undefined) throw new Damaged("it ends in the middle")
    // The index: no block follows.
    if (size === 0) return written
    const end = at + size * 4
    if (crc32(input.subarray(at, end)) !== read32(input, end)) throw new Damaged("a block's header is damaged")
    const filter = filterOf(input.subarray(at, end))
    const block = Lzma2.decode(input, end + 4, output, written)
    const data = output.subarray(written, block.written)
    filter?.(data)
    // Blocks are padded to a multiple of four, which the stream header is as well.
    const checkAt = (block.read + 3) & ~3
    if (check === CRC32 && crc32(data) !== read32(input, checkAt)) throw new Damaged("its checksum doesn't match")
    at = checkAt + checkBytes(check)
    written = block.written
  }
}
