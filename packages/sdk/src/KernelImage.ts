/**
 * What a kernel image says of itself, read from the file before the running kernel is asked to take it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ImageFile from "./internal/image/ImageFile.ts"

/**
 * The file can't be a kernel to jump to.
 *
 * @since 0.1.0
 * @category errors
 */
export class KernelImageInvalid extends Schema.TaggedError<KernelImageInvalid>()("KernelImageInvalid", {
  path: Schema.String,
  reason: Schema.Literal("missing", "unreadable", "not-a-kernel", "truncated", "damaged"),
  detail: Schema.String
}) {
  get next(): string {
    if (this.reason === "truncated" || this.reason === "damaged")
      return "Install or copy the kernel again, and compare the checksums of both files"
    return "Give the path of a bzImage (x86-64) or Image (arm64), such as /boot/vmlinuz-…"
  }
  override get message(): string {
    const what = {
      missing: "does not exist",
      unreadable: "can't be read",
      "not-a-kernel": "is no kernel image",
      truncated: "is cut short",
      damaged: "is damaged"
    }[this.reason]
    return `Kernel image ${this.path} ${what} (${this.detail}). ${this.next}`
  }
}

/**
 * What is known of a kernel image before it is loaded.
 *
 * @since 0.1.0
 * @category models
 */
export interface KernelImage {
  readonly path: string
  readonly format: "bzImage" | "arm64-Image"
  /** As `uname -r` will say; arm64 images don't carry it. */
  readonly release: string | undefined
  /** Bytes. */
  readonly size: number
}

// Documentation/arch/x86/boot.rst: the setup header begins at 0x1f1.
const HDRS_MAGIC = 0x202
const KERNEL_VERSION = 0x20e
const SETUP_SECTS = 0x1f1
const SYSSIZE = 0x1f4
// Documentation/arch/arm64/booting.rst
const ARM64_MAGIC = 0x38

const cString = (bytes: Buffer, offset: number): string => {
  const end = bytes.indexOf(0, offset)
  return bytes.toString("latin1", offset, end === -1 ? bytes.length : end)
}

const HEAD_BYTES = 65536

/**
 * Reads the first 64 KiB of the file and checks what they promise.
 *
 * Fails with `KernelImageInvalid`. Formats: `Documentation/arch/x86/boot.rst`, `Documentation/arch/arm64/booting.rst`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const inspect = Effect.fn("KernelImage.inspect")(function* (
  path: string
): Effect.fn.Return<KernelImage, KernelImageInvalid> {
  const { bytes: head, size } = yield* ImageFile.read(path, HEAD_BYTES).pipe(
    Effect.mapError((refusal) => new KernelImageInvalid({ path, ...refusal }))
  )
  if (head.length >= 0x240 && head.toString("latin1", HDRS_MAGIC, HDRS_MAGIC + 4) === "HdrS") {
    // The real-mode part counts in sectors of 512 bytes, zero meaning four; syssize in paragraphs of 16.
    const sectors = head.readUInt8(SETUP_SECTS) || 4
    const expected = (sectors + 1) * 512 + head.readUInt32LE(SYSSIZE) * 16
    if (size < expected)
      return yield* new KernelImageInvalid({
        path,
        reason: "truncated",
        detail: `its header promises ${expected} bytes, the file has ${size}`
      })
    const pointer = head.readUInt16LE(KERNEL_VERSION)
    const version = pointer === 0 ? "" : cString(head, pointer + 0x200)
    return { path, format: "bzImage", release: version.split(" ")[0] || undefined, size }
  }
  if (head.length >= 64 && head.toString("latin1", ARM64_MAGIC, ARM64_MAGIC + 4) === "ARM\x64")
    return { path, format: "arm64-Image", release: undefined, size }
  return yield* new KernelImageInvalid({
    path,
    reason: "not-a-kernel",
    detail: `${size} bytes without the boot header of a bzImage or an arm64 Image`
  })
})
