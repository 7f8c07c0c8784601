/**
 * What the running kernel tells of itself: how it was built, what it hands over, and what its own image holds.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import { gunzipSync } from "node:zlib"
import * as KernelImageContents from "@liveupdate/sdk/KernelImageContents"
import * as Effect from "effect/Effect"
import { type Fact, known, unknown, value } from "./Facts.ts"
import { at, text } from "./FileFacts.ts"
import * as KnownImages from "./KnownImages.ts"

/**
 * `CONFIG_IKCONFIG_PROC`, or where distributions put it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const config = (release: string): Fact<string> => {
  const running = at("/proc/config.gz", () => gunzipSync(Fs.readFileSync("/proc/config.gz")).toString("latin1"))
  return running._tag === "known" ? running : text(`/boot/config-${release}`)
}

/**
 * A kernel that was handed something shows the tree that it came with instead of its own (`kho_init` in
 * `kernel/liveupdate/kexec_handover.c`); it reads no other than it writes (`kho_populate`).
 *
 * @since 0.1.0
 * @category accessors
 */
export const khoTree = (): Fact<string> => {
  const own = text("/sys/kernel/debug/kho/out/fdt")
  return own._tag === "absent" ? text("/sys/kernel/debug/kho/in/fdt") : own
}

/**
 * @since 0.1.0
 * @category accessors
 */
export const luoState = (): Fact<string> => text("/sys/kernel/debug/kho/out/sub_fdts/LUO")

/** Where distributions keep the image: the second is Fedora's, and Debian's from Linux 7.2 on. */
const places = (release: string): ReadonlyArray<string> => [
  `/boot/vmlinuz-${release}`,
  `/usr/lib/modules/${release}/vmlinuz`
]

/**
 * The strings in the running kernel's image. An image of the same name may be of a build that was installed since: only one that
 * says what /proc/version says is this kernel's. `candidate` was read already, and may be it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const abi = (
  release: string,
  candidate?: KernelImageContents.KernelImageContents
): Effect.Effect<Fact<KernelImageContents.Abi>> =>
  Effect.gen(function* () {
    const version = value(text("/proc/version"))
    const isRunning = ({ banner }: KernelImageContents.KernelImageContents) =>
      banner.answer === "known" && banner.value === version
    const path = places(release).find((place) => Fs.existsSync(place))
    const memory = yield* KnownImages.KnownImages
    const found = path === undefined ? Effect.succeed(undefined) : KernelImageContents.read(path, memory)
    const image = candidate !== undefined && isRunning(candidate) ? candidate : yield* found
    if (image === undefined) return unknown(`its image is in none of ${places(release).join(", ")}`)
    if (image.banner.answer === "unknown") return unknown(`${image.path}: ${image.banner.reason}`)
    if (!isRunning(image)) return unknown(`${image.path} is another build than the one that runs`)
    return image.abi.answer === "known" ? known(image.abi.value) : unknown(`${image.path}: ${image.abi.reason}`)
  }).pipe(Effect.catchAll((error) => Effect.succeed(unknown(error.message))))
