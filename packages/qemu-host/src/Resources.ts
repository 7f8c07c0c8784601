/**
 * The files this package brings that are no TypeScript: kernel configuration, patches to QEMU, C programs, files of the root file system.
 *
 * @since 0.1.0
 */
import { fileURLToPath } from "node:url"
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
 * `LIVEUPDATE_QEMU_HOST_DIR`, else the directory this module was loaded from; a bundler that moves it has to say where.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Resources> = Layer.effect(
  Resources,
  Config.nonEmptyString("LIVEUPDATE_QEMU_HOST_DIR").pipe(
    Config.orElse(() => Config.succeed(fileURLToPath(new URL("..", import.meta.url)))),
    Config.map((directory) => ({ directory }))
  )
).pipe(Layer.orDie)

/**
 * @since 0.1.0
 * @category layers
 */
export const layerAt = (directory: string): Layer.Layer<Resources> => Layer.succeed(Resources, { directory })
