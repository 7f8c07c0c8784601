/**
 * LZMA2, as in a kernel that was compressed with xz. The format is that of `lib/xz/xz_dec_lzma2.c`; the whole output is the
 * dictionary, as in the kernel's own single-call mode (`lib/decompress_unxz.c`), so that a dictionary of any size costs nothing.
 *
 * Written out here because no library on npm does it: xz-decompress knows neither the x86 filter nor a dictionary of 128 MiB,
 * both of which `scripts/xz_wrap.sh` asks for; what knows them is native code.
 */
import { Damaged } from "./Damaged.ts"

// Where each kind of probability begins, in one array (lib/xz/xz_lzma2.h).
const STATES = 12
const POSITIONS = 16
const IS_MATCH = 0
const IS_REP = IS_MATCH + STATES * POSITIONS
const IS_REP0 = IS_REP + STATES
const IS_REP1 = IS_REP0 + STATES
const IS_REP2 = IS_REP1 + STATES
const IS_REP0_LONG = IS_REP2 + STATES
const DISTANCE_SLOT = IS_REP0_LONG + STATES * POSITIONS
const DISTANCE_SPECIAL = DISTANCE_SLOT + 4 * 64
const ALIGN = DISTANCE_SPECIAL + 128
const MATCH_LENGTH = ALIGN + 16
// Of a length: two choices, then trees of 8 for each of 16 positions, twice, then one of 256.
const LENGTH_LOW = 2
const LENGTH_MID = LENGTH_LOW + POSITIONS * 8
const LENGTH_HIGH = LENGTH_MID + POSITIONS * 8
const LENGTHS = LENGTH_HIGH + 256
const REP_LENGTH = MATCH_LENGTH + LENGTHS
const LITERAL = REP_LENGTH + LENGTHS
const LITERAL_CODER = 0x300
// lc + lp is at most 4 in LZMA2.
const PROBABILITIES = LITERAL + (LITERAL_CODER << 4)

const HALF = 1 << 10
const TOP = 1 << 24

/** The range decoder: `range` and `code` are 32-bit numbers without a sign, which only a typed array keeps as such. */
class RangeDecoder {
  private readonly range = new Uint32Array(2)
  private readonly probabilities: Uint16Array
  private readonly input: Uint8Array
  position = 0

  constructor(input: Uint8Array, probabilities: Uint16Array) {
    this.input = input
    this.probabilities = probabilities
  }

  /** The first of five bytes is always 0. */
  start(position: number): void {
    if (this.input[position] !== 0) throw new Damaged("its LZMA data begins wrongly")
    this.range[0] = 0xffffffff
    this.range[1] = 0
    for (let i = 1; i < 5; i++) this.range[1] = ((this.range[1] ?? 0) << 8) | (this.input[position + i] ?? 0)
    this.position = position + 5
  }

  normalize(): void {
    const range = this.range[0] ?? 0
    if (range >= TOP) return
    this.range[0] = range << 8
    // What lies behind the end of the chunk is noticed when the chunk is done.
    this.range[1] = ((this.range[1] ?? 0) << 8) | (this.input[this.position++] ?? 0)
  }

  bit(index: number): number {
    this.normalize()
    const range = this.range[0] ?? 0
    const code = this.range[1] ?? 0
    const probability = this.probabilities[index] ?? 0
    const bound = Math.imul(range >>> 11, probability) >>> 0
    if (code < bound) {
      this.range[0] = bound
      this.probabilities[index] = probability + (((1 << 11) - probability) >>> 5)
      return 0
    }
    this.range[0] = range - bound
    this.range[1] = code - bound
    this.probabilities[index] = probability - (probability >>> 5)
    return 1
  }

  /** `bits` of equal probability, the highest first. */
  direct(bits: number): number {
    let value = 0
    for (let i = 0; i < bits; i++) {
      this.normalize()
      const half = (this.range[0] ?? 0) >>> 1
      const code = this.range[1] ?? 0
      this.range[0] = half
      if (code >= half) this.range[1] = code - half
      value = (value << 1) | (code >= half ? 1 : 0)
    }
    return value
  }

  /** A tree of `bits` levels, the highest bit first. */
  tree(base: number, bits: number): number {
    let symbol = 1
    for (let i = 0; i < bits; i++) symbol = (symbol << 1) | this.bit(base + symbol)
    return symbol - (1 << bits)
  }

  /** The same, the lowest bit first. */
  reverseTree(base: number, bits: number): number {
    let symbol = 1
    let value = 0
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(base + symbol)
      symbol = (symbol << 1) | bit
      value |= bit << i
    }
    return value
  }

  length(base: number, position: number): number {
    if (this.bit(base) === 0) return 2 + this.tree(base + LENGTH_LOW + position * 8, 3)
    if (this.bit(base + 1) === 0) return 10 + this.tree(base + LENGTH_MID + position * 8, 3)
    return 18 + this.tree(base + LENGTH_HIGH, 8)
  }

  distance(length: number): number {
    const slot = this.tree(DISTANCE_SLOT + Math.min(length - 2, 3) * 64, 6)
    if (slot < 4) return slot
    const bits = (slot >>> 1) - 1
    const high = (2 | (slot & 1)) << bits
    if (slot < 14) return high + this.reverseTree(DISTANCE_SPECIAL + high - slot, bits)
    return (high >>> 0) + this.direct(bits - 4) * 16 + this.reverseTree(ALIGN, 4)
  }
}

/**
 * Decodes LZMA2 chunks from `input` at `from` into `output` at `to`. Returns where both stand behind the last chunk.
 *
 * Throws `Damaged`.
 */
export const decode = (
  input: Uint8Array,
  from: number,
  output: Uint8Array,
  to: number
): { readonly read: number; readonly written: number } => {
  const probabilities = new Uint16Array(PROBABILITIES)
  const decoder = new RangeDecoder(input, probabilities)
  let position = from
  let out = to
  let dictionary = to
  let state = 0
  let [rep0, rep1, rep2, rep3] = [0, 0, 0, 0]
  let [literalContext, literalMask, positionMask] = [0, 0, 0]
  let needs: "dictionary" | "properties" | "nothing" = "dictionary"

  const reset = () => {
    probabilities.fill(HALF)
    state = rep0 = rep1 = rep2 = rep3 = 0
  }

  const literal = () => {
    const previous = out > dictionary ? (output[out - 1] ?? 0) : 0
    const context = (((out - dictionary) & literalMask) << literalContext) + (previous >>> (8 - literalContext))
    const base = LITERAL + LITERAL_CODER * context
    let symbol = 1
    if (state >= 7) {
      let match = output[out - rep0 - 1] ?? 0
      let offset = 0x100
      while (symbol < 0x100) {
        match <<= 1
        const matchBit = match & offset
        const bit = decoder.bit(base + offset + matchBit + symbol)
        symbol = (symbol << 1) | bit
        offset &= bit === 1 ? matchBit : ~matchBit
      }
    } else while (symbol < 0x100) symbol = (symbol << 1) | decoder.bit(base + symbol)
    output[out++] = symbol
    state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6
  }

  /** The length of a match whose distance is in rep0 afterwards. */
  const match = (posState: number): number => {
    if (decoder.bit(IS_REP + state) === 0) {
      ;[rep3, rep2, rep1] = [rep2, rep1, rep0]
      state = state < 7 ? 7 : 10
      const length = decoder.length(MATCH_LENGTH, posState)
      rep0 = decoder.distance(length)
      return length
    }
    if (decoder.bit(IS_REP0 + state) === 0) {
      if (decoder.bit(IS_REP0_LONG + state * POSITIONS + posState) === 0) {
        state = state < 7 ? 9 : 11
        return 1
      }
    } else if (decoder.bit(IS_REP1 + state) === 0) [rep1, rep0] = [rep0, rep1]
    else if (decoder.bit(IS_REP2 + state) === 0) [rep2, rep1, rep0] = [rep1, rep0, rep2]
    else [rep3, rep2, rep1, rep0] = [rep2, rep1, rep0, rep3]
    state = state < 7 ? 8 : 11
    return decoder.length(REP_LENGTH, posState)
  }

  const lzma = (end: number) => {
    while (out < end) {
      const posState = (out - dictionary) & positionMask
      if (decoder.bit(IS_MATCH + state * POSITIONS + posState) === 0) {
        literal()
        continue
      }
      const length = match(posState)
      if (rep0 >= out - dictionary) throw new Damaged("a match points before its beginning")
      if (length > end - out) throw new Damaged("a match reaches over the end of its chunk")
      for (const stop = out + length; out < stop; out++) output[out] = output[out - rep0 - 1] ?? 0
    }
  }

  const properties = (byte: number | undefined) => {
    if (byte === undefined || byte >= 9 * 5 * 5) throw new Damaged("its LZMA properties are none")
    const lc = byte % 9
    const lp = Math.floor(byte / 9) % 5
    if (lc + lp > 4) throw new Damaged("its LZMA properties are none")
    literalContext = lc
    literalMask = (1 << lp) - 1
    positionMask = (1 << Math.floor(byte / 45)) - 1
  }

  for (;;) {
    const control = input[position++]
    if (control === undefined) throw new Damaged("it ends in the middle")
    if (control === 0) return { read: position, written: out }
    if (control === 1 || control >= 0xe0) {
      dictionary = out
      needs = "properties"
    } else if (needs === "dictionary") throw new Damaged("its first chunk builds on an earlier one")
    const compressed = control >= 0x80
    if (!compressed && control > 2) throw new Damaged("it has a chunk of no known kind")
    const high = compressed ? (control & 0x1f) << 16 : 0
    const size = high + ((input[position] ?? 0) << 8) + (input[position + 1] ?? 0) + 1
    position += 2
    if (size > output.length - out) throw new Damaged("it is longer than it says")
    if (!compressed) {
      if (size > input.length - position) throw new Damaged("it ends in the middle")
      output.set(input.subarray(position, position + size), out)
      position += size
      out += size
      continue
    }
    const packed = ((input[position] ?? 0) << 8) + (input[position + 1] ?? 0) + 1
    position += 2
    if (control >= 0xc0) {
      properties(input[position++])
      needs = "nothing"
      reset()
    } else if (needs === "properties") throw new Damaged("a chunk lacks its properties")
    else if (control >= 0xa0) reset()
    if (packed < 5 || packed > input.length - position) throw new Damaged("it ends in the middle")
    decoder.start(position)
    lzma(out + size)
    decoder.normalize()
    position += packed
    if (decoder.position !== position) throw new Damaged("a chunk has another length than it says")
  }
}
