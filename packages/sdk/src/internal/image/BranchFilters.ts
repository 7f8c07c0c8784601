/**
 * Undoes the filters that turn the targets of branches into absolute addresses before a kernel is compressed with xz
 * (`scripts/xz_wrap.sh`). Both follow `lib/xz/xz_dec_bcj.c`.
 */

const isSignByte = (byte: number): boolean => byte === 0x00 || byte === 0xff

const allowed = [true, true, true, false, true, false, false, false]
const bitOfMask = [0, 1, 2, 2, 3, 3, 3, 3]

/** CALL and JMP with a 32-bit target. */
export const x86 = (block: Buffer): void => {
  let before = -1
  let mask = 0
  for (let i = 0; i < block.length - 4; i++) {
    if (((block[i] ?? 0) & 0xfe) !== 0xe8) continue
    const gap = i - before
    before = i
    if (gap > 3) mask = 0
    else {
      mask = (mask << (gap - 1)) & 7
      const byte = block[i + 4 - (bitOfMask[mask] ?? 0)] ?? 0
      if (mask !== 0 && (!allowed[mask] || isSignByte(byte))) {
        mask = (mask << 1) | 1
        continue
      }
    }
    if (!isSignByte(block[i + 4] ?? 0)) {
      mask = (mask << 1) | 1
      continue
    }
    let target = block.readInt32LE(i + 1) - (i + 5)
    if (mask !== 0) {
      const shift = 8 * (bitOfMask[mask] ?? 0)
      // A loop in the kernel's decoder; it never goes round twice (Bra86.c of the LZMA SDK has none).
      if (isSignByte((target >>> (24 - shift)) & 0xff)) target = (target ^ ((2 ** (32 - shift) - 1) | 0)) - (i + 5)
    }
    target &= 0x01ffffff
    if ((target & 0x01000000) !== 0) target |= 0xfe000000
    block.writeInt32LE(target | 0, i + 1)
    i += 4
  }
}

/** BL and ADRP. */
export const arm64 = (block: Buffer): void => {
  for (let i = 0; i + 4 <= block.length; i += 4) {
    const instruction = block.readUInt32LE(i)
    if (instruction >>> 26 === 0x25)
      block.writeUInt32LE((0x94000000 | ((instruction - (i >>> 2)) & 0x03ffffff)) >>> 0, i)
    else if ((instruction & 0x9f000000) >>> 0 === 0x90000000) {
      const page = ((instruction >>> 29) & 3) | ((instruction >>> 3) & 0x1ffffc)
      if (((page + 0x020000) & 0x1c0000) !== 0) continue
      const target = page - (i >>> 12)
      const low = ((target & 3) << 29) | ((target & 0x03fffc) << 3)
      block.writeUInt32LE(((instruction & 0x9000001f) | low | (-(target & 0x020000) & 0xe00000)) >>> 0, i)
    }
  }
}
