/**
 * An initramfs: the "newc" cpio format (Documentation/driver-api/early-userspace/buffer-format.rst). Pure.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export interface CpioFile {
  /** Without a leading slash. */
  readonly path: string
  /** Type and permission bits, e.g. 0o100755. */
  readonly mode: number
  readonly data: Uint8Array
}

const padded = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)])

/**
 * Writes an archive, uncompressed: the kernel is done with it soonest.
 *
 * @since 0.1.0
 * @category pure
 */
export const archive = (files: ReadonlyArray<CpioFile>): Uint8Array => {
  const parts: Array<Buffer> = []
  const add = (path: string, mode: number, data: Uint8Array, inode: number) => {
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, Buffer.byteLength(path) + 1, 0]
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${path}\0`
    parts.push(padded(Buffer.from(head)), padded(Buffer.from(data.buffer, data.byteOffset, data.byteLength)))
  }
  files.forEach((file, index) => {
    add(file.path, file.mode, file.data, index + 1)
  })
  add("TRAILER!!!", 0, new Uint8Array(), 0)
  return Buffer.concat(parts)
}
