/**
 * The files this package brings that are no TypeScript: kernel configuration, patches to QEMU, C programs, files of the root file system.
 *
 * @since 0.1.0
 */
import { createRequire } from "node:module"
import { dirname } from "node:path"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"

/**
 * @since 0.1.0
 * @category services
 */
export class Resources extends Context.Tag("@liveupdate/qemu-host/Resources")<
  Resources,
  {
    /** The package's directory: holds `emulator/`, `kernel/`, `host/`, `guest/`, `rootfs/`. */
    readonly directory: string
  }
>() {}

/**
 * `LIVEUPDATE_QEMU_HOST_DIR`, else where the package `@liveupdate/qemu-host` is found from this module: a bundle of it needs
 * the package beside it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Resources> = Layer.effect(
  Resources,
  Config.nonEmptyString("LIVEUPDATE_QEMU_HOST_DIR").pipe(
    Config.orElse(() =>
      Config.sync(() => dirname(createRequire(import.meta.url).resolve("@liveupdate/qemu-host/package.json")))
    ),
    Config.map((directory) => ({ directory }))
  )
).pipe(Layer.orDie)

/**
 * @since 0.1.0
 * @category layers
 */
export const layerAt = (directory: string): Layer.Layer<Resources> => Layer.succeed(Resources, { directory })
