/**
 * What a bzImage says of itself (Documentation/arch/x86/boot.rst). Pure.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"

/**
 * Not a kernel that a host could be booted with.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotAKernel extends Data.TaggedError("NotAKernel")<{ readonly path: string; readonly reason: string }> {
  override get message() {
    return `${this.path} is no kernel image: ${this.reason}; a bzImage for x86-64 is wanted (arch/x86/boot/bzImage)`
  }
}

/**
 * Release string of a bzImage, e.g. `7.3.4-host-a`, from its set-up header.
 *
 * @since 0.1.0
 * @category pure
 */
export const releaseOf = (path: string, image: Uint8Array): Either.Either<string, NotAKernel> => {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.byteLength)
  const no = (reason: string) => Either.left(new NotAKernel({ path, reason }))
  if (bytes.length < 0x268) return no(`it has only ${bytes.length} bytes`)
  if (bytes.toString("latin1", 0x202, 0x206) !== "HdrS") return no("no HdrS signature at 0x202")
  // kernel_version: offset of a string, less 0x200.
  const at = bytes.readUInt16LE(0x20e) + 0x200
  if (at === 0x200 || at >= bytes.length) return no("it has no version string")
  const release = bytes.toString("latin1", at, Math.min(at + 256, bytes.length)).split(/[\0 ]/)[0] ?? ""
  return /^[0-9]+\.[0-9]+/.test(release) ? Either.right(release) : no("its version string cannot be read")
}
