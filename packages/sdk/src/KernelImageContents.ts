/**
 * What a kernel image holds: the kernel inside it is decompressed, and asked what it was built with and which handovers it reads.
 *
 * `KernelImage` reads the first bytes of the file; this reads all of it, which takes up to some seconds and as much memory as the
 * kernel has bytes.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Unsupported } from "./internal/image/Damaged.ts"
import * as ImageFile from "./internal/image/ImageFile.ts"
import * as Payload from "./internal/image/Payload.ts"
import * as Vmlinux from "./internal/image/Vmlinux.ts"
import { KernelImageInvalid } from "./KernelImage.ts"

const told = <A>(value: Schema.Schema<A>) =>
  Schema.Union(
    Schema.Struct({ answer: Schema.Literal("known"), value }),
    Schema.Struct({ answer: Schema.Literal("unknown"), reason: Schema.String })
  )

/**
 * What is known of a kernel, or why it isn't.
 *
 * @since 0.1.0
 * @category models
 */
export type Told<A> =
  | { readonly answer: "known"; readonly value: A }
  | { readonly answer: "unknown"; readonly reason: string }

const versions = Schema.Array(Schema.String)

/**
 * The strings by which a kernel knows what was handed to it, such as `luo-v5`. An empty list: it has none, and was built
 * without. More than one: it reads each of them.
 *
 * @since 0.1.0
 * @category models
 */
export const Abi = Schema.Struct({
  /** `KHO_FDT_COMPATIBLE` in `include/linux/kho/abi/kexec_handover.h` */
  kho: versions,
  /** `LUO_ABI_COMPATIBLE` in `include/linux/kho/abi/luo.h` */
  luo: versions,
  /** `MEMFD_LUO_FH_COMPATIBLE` in `include/linux/kho/abi/memfd.h` */
  memfd: versions,
  /** Handlers that are proposed for a kernel after 7.3. */
  vfio: versions,
  iommufd: versions,
  guest_memfd: versions,
  kvm_vm: versions
})

/**
 * @since 0.1.0
 * @category models
 */
export type Abi = typeof Abi.Type

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
export const Compression = Schema.Literal("none", "gzip", "xz", "zstd", "lz4", "bzip2", "lzma", "lzo")

/**
 * @since 0.1.0
 * @category models
 */
export type Compression = typeof Compression.Type

/**
 * What is in the bytes of an image, wherever they are.
 *
 * @since 0.1.0
 * @category models
 */
export const Contents = Schema.Struct({
  /** `undefined` if it is one that isn't known. */
  compression: Schema.UndefinedOr(Compression),
  /** As /proc/version will say: two kernels that say the same are the same build. */
  banner: told(Schema.String),
  /** As `uname -r` will say. */
  release: told(Schema.String),
  /** The build configuration, as in /proc/config.gz; unknown without `CONFIG_IKCONFIG`. */
  config: told(Schema.String),
  abi: told(Abi)
})

/**
 * @since 0.1.0
 * @category models
 */
export type Contents = typeof Contents.Type

/**
 * What a kernel says of itself when it is looked into.
 *
 * @since 0.1.0
 * @category models
 */
export interface KernelImageContents extends Contents {
  readonly path: string
}

/**
 * What was found in images before, by a digest of their bytes: an image that was read once needn't be decompressed again.
 *
 * @since 0.1.0
 * @category models
 */
export interface Memory {
  /** What was found in the image of this digest; `undefined`: it has to be looked into. */
  readonly recall: (digest: string) => Effect.Effect<Contents | undefined>
  /** Keeps it for the next time. What can't be kept is looked for anew then. */
  readonly remember: (digest: string, contents: Contents) => Effect.Effect<void>
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

/** Of a kernel that can't be looked into. */
const opaque = (compression: Compression | undefined, why: string): Contents => {
  const told = unknown(`the image can't be looked into: ${why}`)
  return { compression, banner: told, release: told, config: told, abi: told }
}

const NOT_A_KERNEL = "no kernel image of x86-64 or arm64"

const find = (image: Buffer): Contents | typeof NOT_A_KERNEL => {
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

/** Of what is looked for as well: one that looks for something else remembers nothing of it. Raise it when it looks otherwise. */
const LOOKS = `1 ${JSON.stringify(prefixes)}`
const digestOf = (image: Buffer): string => createHash("sha256").update(LOOKS).update(image).digest("hex")

/**
 * Keeps nothing: every image is looked into.
 *
 * @since 0.1.0
 * @category constants
 */
export const forgetful: Memory = { recall: () => Effect.succeed(undefined), remember: () => Effect.void }

/**
 * Decompresses the kernel in a bzImage (x86-64) or an arm64 Image, plain, as Image.gz or with an EFI decompressor, and looks into
 * it. Knows gzip, xz, zstd and lz4; of a kernel that is compressed otherwise everything is unknown. With a `memory` it does so once
 * for the same bytes.
 *
 * Fails with `KernelImageInvalid`; its reason is `damaged` when the kernel can't be decompressed.
 * Formats: `Documentation/arch/x86/boot.rst`, `drivers/firmware/efi/libstub/zboot-header.S`, `scripts/Makefile.lib`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = Effect.fn("KernelImageContents.read")(function* (
  path: string,
  memory: Memory = forgetful
): Effect.fn.Return<KernelImageContents, KernelImageInvalid> {
  const { bytes: image } = yield* ImageFile.read(path).pipe(
    Effect.mapError((refusal) => new KernelImageInvalid({ path, ...refusal }))
  )
  const digest = digestOf(image)
  const recalled = yield* memory.recall(digest)
  if (recalled !== undefined) return { path, ...recalled }
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
  yield* memory.remember(digest, found)
  return { path, ...found }
})
