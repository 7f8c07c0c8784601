/**
 * What installing leaves on a machine and can be made only there, such as files that fit one processor: the command is run
 * once, on a host that is thrown away, and what it left is part of every host's image from then on.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Kind } from "./Accelerator.ts"
import { Cache, CacheError } from "./Cache.ts"
import * as Channel from "./Channel.ts"
import type { CommandFailed } from "./internal/subprocess.ts"
import type { KernelError } from "./KernelBuild.ts"
import * as Machine from "./Machine.ts"
import type { Progress } from "./Progress.ts"
import { type PayloadItem, type PayloadRejected, SystemImage } from "./SystemImage.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Installation {
  /** A command of the payload's. */
  readonly run: readonly [string, ...Array<string>]
  /** Paths of the files it makes. */
  readonly leaves: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export type Payload = ReadonlyArray<PayloadItem | Installation>

const isInstallation = (item: PayloadItem | Installation): item is Installation => "run" in item

/**
 * @since 0.1.0
 * @category errors
 */
export type InstallError =
  | CacheError
  | KernelError
  | CommandFailed
  | PayloadRejected
  | Machine.BadHostName
  | Machine.HostAlreadyRunning
  | Machine.MachineFailed
  | Channel.ChannelError
  | Channel.HostNotReady
  | Channel.RemoteCommandFailed

/**
 * @since 0.1.0
 * @category services
 */
export class Installed extends Context.Tag("@liveupdate/qemu-host/Installed")<
  Installed,
  {
    /** The payload with what its installations leave on this emulator's machines. */
    readonly items: (
      payload: Payload,
      on: { readonly qemu: string; readonly accelerator: Kind }
    ) => Effect.Effect<ReadonlyArray<PayloadItem>, InstallError, Progress>
  }
>() {}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  Installed,
  never,
  Cache | SystemImage | Machine.Machine | Channel.Channel | FileSystem.FileSystem | Path.Path
> = Layer.effect(
  Installed,
  Effect.gen(function* () {
    const cache = yield* Cache
    const system = yield* SystemImage
    const machine = yield* Machine.Machine
    const channel = yield* Channel.Channel
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path

    const install = (
      installation: Installation,
      items: ReadonlyArray<PayloadItem>,
      on: { readonly qemu: string; readonly accelerator: Kind },
      directory: string
    ) =>
      Effect.gen(function* () {
        const { image, kernels } = yield* system.build(items)
        const { address } = yield* Effect.acquireRelease(
          machine.start({
            name: `install-${process.pid}`,
            image,
            kernel: kernels.boot.image,
            ...on
          }),
          ({ address }) => Effect.ignore(machine.stop(address.name))
        )
        yield* channel.waitReady(address, { timeout: "120 seconds" })
        yield* channel.output(address, installation.run)
        yield* Effect.forEach(installation.leaves, (path, index) =>
          Effect.gen(function* () {
            const file = paths.join(directory, String(index))
            const mode = yield* channel.output(address, ["stat", "-c", "%a", path])
            const data = yield* channel.pull(address, path)
            yield* fs
              .writeFile(file, data, { mode: Number.parseInt(mode, 8) })
              .pipe(
                Effect.mapError(({ message }) => new CacheError({ operation: "write", path: file, detail: message }))
              )
          })
        )
      }).pipe(Effect.scoped)

    const items = Effect.fn("Installed.items")(function* (
      payload: Payload,
      on: { readonly qemu: string; readonly accelerator: Kind }
    ) {
      const all = payload.filter((item): item is PayloadItem => !isInstallation(item))
      for (const installation of payload.filter(isInstallation)) {
        const { run, leaves } = installation
        const contents = yield* Effect.forEach(all, system.inputOf)
        const entry = yield* cache.entry({
          kind: "installed",
          what: `${run[0]} on a host`,
          inputs: ["1", on.qemu, on.accelerator, ...run, "leaves", ...leaves, "payload", ...contents],
          build: (directory) => install(installation, all, on, directory)
        })
        all.push(...leaves.map((to, index) => ({ from: paths.join(entry, String(index)), to })))
      }
      yield* cache.prune("installed", 3)
      return all
    })
    return { items }
  })
)
