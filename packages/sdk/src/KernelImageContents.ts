/**
 * What a kernel image holds: the kernel inside it is decompressed, and asked what it was built with and which handovers it reads.
 *
 * `KernelImage` reads the first bytes of the file; this reads all of it, which takes up to some seconds and as much memory as the
 * kernel has bytes.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Unsupported } from "./internal/image/Damaged.ts"
import * as ImageFile from "./internal/image/ImageFile.ts"
import * as Payload from "./internal/image/Payload.ts"
import * as Vmlinux from "./internal/image/Vmlinux.ts"
import { KernelImageInvalid } from "./KernelImage.ts"

/**
 * What is known of a kernel, or why it isn't.
 *
 * @since 0.1.0
 * @category models
 */
export type Told<A> =
  | { readonly answer: "known"; readonly value: A }
  | { readonly answer: "unknown"; readonly reason: string }

/**
 * The strings by which a kernel knows what was handed to it, such as `luo-v5`. An empty list: it has none, and was built
 * without. More than one: it reads each of them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Abi {
  /** `KHO_FDT_COMPATIBLE` in `include/linux/kho/abi/kexec_handover.h` */
  readonly kho: ReadonlyArray<string>
  /** `LUO_ABI_COMPATIBLE` in `include/linux/kho/abi/luo.h` */
  readonly luo: ReadonlyArray<string>
  /** `MEMFD_LUO_FH_COMPATIBLE` in `include/linux/kho/abi/memfd.h` */
  readonly memfd: ReadonlyArray<string>
  /** Handlers that are proposed for a kernel after 7.3. */
  readonly vfio: ReadonlyArray<string>
  readonly iommufd: ReadonlyArray<string>
  readonly guest_memfd: ReadonlyArray<string>
  readonly kvm_vm: ReadonlyArray<string>
}

const prefixes: { readonly [Layer in keyof Abi]: string } = {
  kho: "kho-v",
  luo: "luo-v",
  memfd: "memfd-v",
  vfio: "vfio-pci-v",
  iommufd: "iommufd-v",
  guest_memfd: "guest_memfd_luo_v",
  kvm_vm: "kvm_vm_luo_v"
}

/**
 * How a kernel is compressed. Kernels that are compressed with one of the last three are not looked into.
 *
 * @since 0.1.0
 * @category models
 */
export type Compression = "none" | "gzip" | "xz" | "zstd" | "lz4" | "bzip2" | "lzma" | "lzo"

/**
 * What a kernel says of itself when it is looked into.
 *
 * @since 0.1.0
 * @category models
 */
export interface KernelImageContents {
  readonly path: string
  /** `undefined` if it is one that isn't known. */
  readonly compression: Compression | undefined
  /** As /proc/version will say: two kernels that say the same are the same build. */
  readonly banner: Told<string>
  /** As `uname -r` will say. */
  readonly release: Told<string>
  /** The build configuration, as in /proc/config.gz; unknown without `CONFIG_IKCONFIG`. */
  readonly config: Told<string>
  readonly abi: Told<Abi>
}

const known = <A>(value: A): Told<A> => ({ answer: "known", value })
const unknown = (reason: string): Told<never> => ({ answer: "unknown", reason })

const configOf = (kernel: Buffer): Told<string> => {
  try {
    const text = Vmlinux.config(kernel)
    return text === undefined ? unknown("it was built without CONFIG_IKCONFIG") : known(text)
  } catch {
    return unknown("the configuration in it can't be decompressed")
  }
}

const abiOf = (kernel: Buffer): Abi => ({
  kho: Vmlinux.versions(kernel, prefixes.kho),
  luo: Vmlinux.versions(kernel, prefixes.luo),
  memfd: Vmlinux.versions(kernel, prefixes.memfd),
  vfio: Vmlinux.versions(kernel, prefixes.vfio),
  iommufd: Vmlinux.versions(kernel, prefixes.iommufd),
  guest_memfd: Vmlinux.versions(kernel, prefixes.guest_memfd),
  kvm_vm: Vmlinux.versions(kernel, prefixes.kvm_vm)
})

type Found = Omit<KernelImageContents, "path">

/** Of a kernel that can't be looked into. */
const opaque = (compression: Compression | undefined, why: string): Found => {
  const told = unknown(`the image can't be looked into: ${why}`)
  return { compression, banner: told, release: told, config: told, abi: told }
}

const NOT_A_KERNEL = "no kernel image of x86-64 or arm64"

const find = (image: Buffer): Found | typeof NOT_A_KERNEL => {
  try {
    const payload = Payload.locate(image)
    if (payload === undefined) return NOT_A_KERNEL
    const compression = Payload.compressionOf(payload.bytes)
    try {
      const kernel = Payload.decompress(payload)
      const banner = Vmlinux.banner(kernel)
      // Whatever was decompressed without a complaint: without a banner it isn't Linux, and what it lacks proves nothing.
      if (banner === undefined) return opaque(compression, "no Linux was found in it")
      return {
        compression,
        banner: known(banner),
        release: known(banner.split(" ")[2] ?? ""),
        config: configOf(kernel),
        abi: known(abiOf(kernel))
      }
    } catch (error) {
      if (error instanceof Unsupported) return opaque(compression, error.message)
      throw error
    }
  } catch (error) {
    if (error instanceof Unsupported) return opaque(undefined, error.message)
    throw error
  }
}

/**
 * Decompresses the kernel in a bzImage (x86-64) or an arm64 Image, plain, as Image.gz or with an EFI decompressor, and looks into
 * it. Knows gzip, xz, zstd and lz4; of a kernel that is compressed otherwise everything is unknown.
 *
 * Fails with `KernelImageInvalid`; its reason is `damaged` when the kernel can't be decompressed.
 * Formats: `Documentation/arch/x86/boot.rst`, `drivers/firmware/efi/libstub/zboot-header.S`, `scripts/Makefile.lib`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = Effect.fn("KernelImageContents.read")(function* (
  path: string
): Effect.fn.Return<KernelImageContents, KernelImageInvalid> {
  const { bytes: image } = yield* ImageFile.read(path).pipe(
    Effect.mapError((refusal) => new KernelImageInvalid({ path, ...refusal }))
  )
  const found = yield* Effect.try({
    try: () => find(image),
    // What the libraries throw is of all kinds; it is always the data's fault.
    catch: (error) =>
      new KernelImageInvalid({
        path,
        reason: "damaged",
        detail: `the kernel in it can't be decompressed: ${error instanceof Error ? error.message : String(error)}`
      })
  })
  if (found === NOT_A_KERNEL)
    return yield* new KernelImageInvalid({ path, reason: "not-a-kernel", detail: `${image.length} bytes, ${found}` })
  return { path, ...found }
})
