/**
 * Where a kernel image has its kernel, and what that is decompressed. Pure.
 */
import { gunzipSync } from "node:zlib"
import * as Zstd from "fzstd"
import { Damaged, Unsupported } from "./Damaged.ts"
import * as Lz4 from "./Lz4.ts"
import * as Xz from "./Xz.ts"

/** How a kernel is compressed; the last three can't be looked into. */
export type Compression = "none" | "gzip" | "xz" | "zstd" | "lz4" | "bzip2" | "lzma" | "lzo"

/** A compressed kernel, and how long it is uncompressed: bytes. */
export interface Payload {
  readonly bytes: Buffer
  readonly size: number
}

// What no kernel comes near: a length beyond it isn't believed, and no memory is taken for it.
const MOST_BYTES = 512 << 20
const MOST_TIMES = 64

const sized = (bytes: Buffer, size: number): Payload => {
  if (size > Math.min(MOST_BYTES, bytes.length * MOST_TIMES))
    throw new Damaged(`it says that it is ${size} bytes uncompressed`)
  return { bytes, size }
}

const slice = (image: Buffer, from: number, length: number): Buffer => {
  if (length < 16 || from + length > image.length) throw new Damaged("its header points behind its end")
  return image.subarray(from, from + length)
}

/** Gzip says it at its end by itself; behind the others the kernel's build appends it (size_append in `scripts/Makefile.lib`). */
const sizeAtEnd = (bytes: Buffer): number => bytes.readUInt32LE(bytes.length - 4)

/** `payload_offset`, `payload_length` of `Documentation/arch/x86/boot.rst`: from protocol 2.08 on. */
const ofBzImage = (image: Buffer): Payload => {
  if (image.readUInt16LE(0x206) < 0x208) throw new Unsupported("its boot protocol is older than 2.08")
  const protectedMode = ((image.readUInt8(0x1f1) || 4) + 1) * 512
  const bytes = slice(image, protectedMode + image.readUInt32LE(0x248), image.readUInt32LE(0x24c))
  return compressionOf(bytes) === "none" ? sized(bytes, bytes.length) : sized(bytes, sizeAtEnd(bytes))
}

/** `drivers/firmware/efi/libstub/zboot-header.S`: the length leaves out what was appended, and gzip needs nothing appended. */
const ofZboot = (image: Buffer): Payload => {
  const length = image.readUInt32LE(12)
  const bytes = slice(image, image.readUInt32LE(8), length)
  if (compressionOf(bytes) === "gzip") return sized(bytes, sizeAtEnd(bytes))
  const withSize = slice(image, image.readUInt32LE(8), length + 4)
  return sized(withSize, sizeAtEnd(withSize))
}

/**
 * The kernel in an image; `undefined` if this is no kernel image. Throws `Damaged`, `Unsupported`.
 */
export const locate = (image: Buffer): Payload | undefined => {
  const has = (magic: string, at: number) => image.toString("latin1", at, at + magic.length) === magic
  if (image.length < 0x268) return undefined
  if (has("HdrS", 0x202)) return ofBzImage(image)
  // Documentation/arch/arm64/booting.rst
  if (has("ARM\x64", 0x38)) return sized(image, image.length)
  if (has("MZ", 0) && has("zimg", 4)) return ofZboot(image)
  // arch/arm64/boot/Image.gz, which Ubuntu calls vmlinuz.
  if (compressionOf(image) === "gzip") return sized(image, sizeAtEnd(image))
  return undefined
}

const magics: ReadonlyArray<readonly [Compression, ...ReadonlyArray<number>]> = [
  ["gzip", 0x1f, 0x8b],
  ["xz", 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
  ["zstd", 0x28, 0xb5, 0x2f, 0xfd],
  ["lz4", 0x02, 0x21, 0x4c, 0x18],
  ["bzip2", 0x42, 0x5a, 0x68],
  ["lzma", 0x5d, 0x00],
  ["lzo", 0x89, 0x4c, 0x5a, 0x4f],
  ["none", 0x7f, 0x45, 0x4c, 0x46]
]

/** By the magic numbers of `lib/decompress.c`. An arm64 kernel that isn't compressed begins with code. */
export const compressionOf = (bytes: Buffer): Compression | undefined => {
  if (bytes.length >= 0x40 && bytes.toString("latin1", 0x38, 0x3c) === "ARM\x64") return "none"
  return magics.find(([, ...magic]) => magic.every((byte, i) => bytes[i] === byte))?.[0]
}

/** Filled as far as the decoder got, which has to be all of it. */
const into = (size: number, decoder: (output: Buffer) => number): Buffer => {
  const output = Buffer.alloc(size)
  const written = decoder(output)
  if (written !== size) throw new Damaged(`it says that it is ${size} bytes uncompressed, but is ${written}`)
  return output
}

/** The kernel, decompressed. Throws `Damaged`, `Unsupported`, and what the libraries throw for damaged data. */
export const decompress = ({ bytes, size }: Payload): Buffer => {
  const compression = compressionOf(bytes)
  const withoutSize = bytes.subarray(0, -4)
  switch (compression) {
    case "none":
      return bytes
    case "gzip":
      return gunzipSync(bytes, { maxOutputLength: Math.max(size, 1) })
    case "xz":
      return into(size, (output) => Xz.decompress(withoutSize, output))
    case "lz4":
      return into(size, (output) => Lz4.decompress(withoutSize, output))
    case "zstd": {
      const output = Buffer.alloc(size)
      Zstd.decompress(withoutSize, output)
      return output
    }
    default:
      throw new Unsupported(
        compression === undefined
          ? "it is compressed in a way that is not known"
          : `it is compressed with ${compression}`
      )
  }
}
