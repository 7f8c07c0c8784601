/** Kernel images as small as they can be: a boot header, and a kernel that says of itself what the real one does. */
import { gzipSync } from "node:zlib"

export const banner = "Linux version 7.3.4-test (builder@host) (gcc 14, GNU ld 2.44) #7 SMP PREEMPT_DYNAMIC 2026-01-01"
export const config = "CONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\nCONFIG_LIVEUPDATE_MEMFD=y\n"

/**
 * What the fixtures were made of, and what is looked for in it: `strings` stand among others, with NUL between them. `withConfig` is
 * compressed; `null`: none.
 */
export const kernel = (
  strings: ReadonlyArray<string> = ["kho-v4", "luo-v5", "memfd-v2"],
  { withBanner = banner, withConfig = gzipSync(config) }: { withBanner?: string; withConfig?: Buffer | null } = {}
): Buffer => {
  // Calls of two functions from all over the place, which is what the filters of xz are for.
  const code = Buffer.alloc(64 * 16)
  for (let i = 0; i < 64; i++) {
    code[i * 16] = 0xe8 + (i % 2)
    code.writeInt32LE((i % 3 === 0 ? -200 : 5000) - (i * 16 + 5), i * 16 + 1)
    code.writeUInt32LE((0x94000000 | ((i * 37) & 0x03ffffff)) >>> 0, i * 16 + 8)
    code.writeUInt32LE((0x90000000 | ((i & 3) << 29) | (i << 5)) >>> 0, i * 16 + 12)
  }
  const marks = withConfig === null ? [] : [Buffer.from("IKCFG_ST"), withConfig, Buffer.from("IKCFG_ED")]
  const text = [
    "",
    "Linux version %s (%s) %s",
    `${withBanner.replace(" #7", " #")}\n`,
    `${withBanner}\n`,
    ...strings,
    ""
  ]
  return Buffer.concat([
    Buffer.from("\x7fELF\x02\x01\x01"),
    Buffer.alloc(57),
    code,
    ...marks,
    Buffer.from(text.join("\0"))
  ])
}

/** Documentation/arch/x86/boot.rst: two sectors of set-up code, then the payload 64 bytes into the protected-mode code. */
export const bzImage = (payload: Buffer, { protocol = 0x20f } = {}): Buffer => {
  const head = Buffer.alloc(2 * 512 + 64)
  head.writeUInt8(1, 0x1f1)
  head.write("HdrS", 0x202, "latin1")
  head.writeUInt16LE(protocol, 0x206)
  head.writeUInt32LE(64, 0x248)
  head.writeUInt32LE(payload.length, 0x24c)
  const image = Buffer.concat([head, payload, Buffer.alloc(16 - ((head.length + payload.length) % 16))])
  image.writeUInt32LE((image.length - 1024) / 16, 0x1f4)
  return image
}

/** `size_append` of scripts/Makefile.lib. */
export const withSize = (compressed: Buffer, size: number): Buffer => {
  const end = Buffer.alloc(4)
  end.writeUInt32LE(size)
  return Buffer.concat([compressed, end])
}

/** An arm64 Image (Documentation/arch/arm64/booting.rst). */
export const arm64Image = (): Buffer => {
  const head = Buffer.alloc(0x268)
  head.write("MZ", 0, "latin1")
  head.write("ARM\x64", 0x38, "latin1")
  return Buffer.concat([head, kernel().subarray(64)])
}

/** drivers/firmware/efi/libstub/zboot-header.S: a length without the four bytes that gzip has in it and the others behind them. */
export const zboot = (payload: Buffer, length: number): Buffer => {
  const head = Buffer.alloc(0x268)
  head.write("MZ\0\0zimg", 0, "latin1")
  head.writeUInt32LE(head.length, 8)
  head.writeUInt32LE(length, 12)
  return Buffer.concat([head, payload])
}
