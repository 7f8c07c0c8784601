/**
 * Loading the next kernel, and the jump into it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Subject } from "./errors/Origin.ts"
import { fromErrno } from "./internal/errnoTable.ts"
import * as Fd from "./internal/fd.ts"
import * as FrozenFile from "./internal/frozenFile.ts"
import { Kernel, type SystemCalls } from "./internal/Kernel.ts"
import { KEXEC_FILE_NO_INITRAMFS, KEXEC_FILE_UNLOAD, LINUX_REBOOT_CMD_KEXEC, O_RDONLY } from "./internal/uapi.ts"
import { FreezeFailed, type LiveUpdateError } from "./LiveUpdateError.ts"
import { SimulatedHost } from "./SimulatedHost.ts"

/**
 * What to jump into.
 *
 * @since 0.1.0
 * @category models
 */
export interface LoadOptions {
  /** Path of the image; see `KernelImage.inspect`. */
  readonly kernel: string
  /** Path of an initramfs. It is hashed and copied during the load and unpacked during the blackout: keep it small. */
  readonly initrd?: string
  /** The next kernel's command line. It must turn KHO and LUO on, or what was preserved is lost. */
  readonly commandLine: string
}

/**
 * Loads the next kernel and jumps into it.
 *
 * @since 0.1.0
 * @category services
 */
export class Kexec extends Context.Tag("@liveupdate/sdk/Kexec")<
  Kexec,
  {
    /**
     * Loads an image with `kexec_file_load`, the only way that carries a handover (`kernel/kexec_file.c`;
     * kexec_load(2) doesn't), and unloads it with the scope. It takes
     * the place of an image that was loaded before. Fails with `KernelImageRejected`, `NotFound`, `PermissionDenied`,
     * `KexecBusy`, `LimitReached`.
     */
    readonly load: (options: LoadOptions) => Effect.Effect<void, LiveUpdateError, Scope.Scope>
    /** Whether an image is loaded, by anyone (/sys/kernel/kexec_loaded). */
    readonly isLoaded: Effect.Effect<boolean>
    /**
     * Unloads the image that is loaded, by anyone: of a process that died before its scope ended. Harmless without one. Fails with
     * `PermissionDenied`, `KexecBusy`.
     */
    readonly unload: Effect.Effect<void, LiveUpdateError>
    /**
     * Takes the whole host into the loaded kernel, at once: nothing is stopped, unmounted or synced. Returns only by
     * failing, and then the kernel has rolled everything back: `KexecNotLoaded`, `KexecBusy`, `FreezeFailed`.
     *
     * Call it inside the scopes of the sessions, with every vCPU paused: freezing files stops nobody.
     */
    readonly jump: Effect.Effect<never, LiveUpdateError>
  }
>() {}

/**
 * `load` of the service: the image is unloaded with the scope.
 *
 * Fails with `KernelImageRejected`, `NotFound`, `PermissionDenied`, `KexecBusy`, `LimitReached` (`kernel/kexec_file.c`).
 *
 * @since 0.1.0
 * @category operations
 */
export const load = (options: LoadOptions) => Effect.flatMap(Kexec, (_) => _.load(options))

/**
 * `isLoaded` of the service: whether an image is loaded, by anyone.
 *
 * @since 0.1.0
 * @category operations
 */
export const isLoaded: Effect.Effect<boolean, never, Kexec> = Effect.flatMap(Kexec, (_) => _.isLoaded)

/**
 * `unload` of the service: the image is unloaded, whoever has loaded it. Fails with `PermissionDenied`, `KexecBusy`.
 *
 * @since 0.1.0
 * @category operations
 */
export const unload: Effect.Effect<void, LiveUpdateError, Kexec> = Effect.flatMap(Kexec, (_) => _.unload)

/**
 * `jump` of the service: it comes back only as a failure.
 *
 * Fails with `KexecNotLoaded`, `KexecBusy`, `FreezeFailed`, `PermissionDenied` (`kernel_kexec` in `kernel/kexec_core.c`).
 *
 * @since 0.1.0
 * @category operations
 */
export const jump: Effect.Effect<never, LiveUpdateError, Kexec> = Effect.flatMap(Kexec, (_) => _.jump)

const loadImage = (options: LoadOptions): Effect.Effect<void, LiveUpdateError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const kernelFd = yield* Fd.openFile(options.kernel, O_RDONLY)
      const initrdFd = options.initrd === undefined ? -1 : yield* Fd.openFile(options.initrd, O_RDONLY)
      const flags = options.initrd === undefined ? KEXEC_FILE_NO_INITRAMFS : 0
      yield* Fd.callAsync("kexec.load", { path: options.kernel }, (kernel) =>
        kernel.kexecFileLoad(kernelFd, initrdFd, options.commandLine, flags)
      )
    })
  )

const unloadImage = Effect.asVoid(
  Fd.callAsync("kexec.unload", {}, (kernel) => kernel.kexecFileLoad(-1, -1, "", KEXEC_FILE_UNLOAD))
)

/** A finalizer can't fail, but an image that stays loaded is somebody's surprise at the next reboot. */
const unloadAtEnd = Effect.catchAll(unloadImage, (error) => Effect.logError(error.message))

/** EINVAL is "no image is loaded", but a file's freeze may answer it as well: then an image is. */
const refusedJump = (kernel: SystemCalls, answer: number, file: () => Subject): LiveUpdateError => {
  const error = fromErrno("kexec.jump", answer)
  const { errno, operation } = error
  return error._tag === "FreezeFailed" || (error._tag === "KexecNotLoaded" && kernel.kexecLoaded())
    ? new FreezeFailed({ operation, errno, ...file() })
    : error
}

/**
 * The running kernel.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Kexec> = Layer.succeed(Kexec, {
  load: (options) => Effect.acquireRelease(loadImage(options), () => unloadAtEnd).pipe(Effect.withSpan("Kexec.load")),
  isLoaded: Effect.map(Kernel, (kernel) => kernel.kexecLoaded()),
  unload: Effect.withSpan(unloadImage, "Kexec.unload"),
  jump: Effect.uninterruptible(
    Effect.flatMap(Kernel, (kernel) =>
      Effect.acquireUseRelease(
        Effect.sync(() => FrozenFile.watch(kernel)),
        ({ find }) =>
          Effect.flatMap(
            Effect.promise(() => kernel.reboot(LINUX_REBOOT_CMD_KEXEC)),
            (answer) => Effect.fail(refusedJump(kernel, answer, find))
          ),
        ({ close }) => Effect.sync(close)
      )
    )
  )
})

/**
 * Loading and jumping on the host that `LiveUpdate.layerMemory` made. Images are looked at as far as their header; one under `/boot` that this
 * machine doesn't have is taken to be there. Without `SimulatedHost.simulateKexec` around it a jump is the end, as it is in reality:
 * whoever called it never goes on.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<Kexec, never, SimulatedHost> = /* @__PURE__ */ Layer.flatMap(layer, (context) =>
  Layer.effect(
    Kexec,
    Effect.map(SimulatedHost, ({ run }) => {
      const kexec = Context.get(context, Kexec)
      return {
        load: (options) => run(kexec.load(options)),
        isLoaded: run(kexec.isLoaded),
        unload: run(kexec.unload),
        jump: run(kexec.jump)
      }
    })
  )
)
