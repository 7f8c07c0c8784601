/**
 * What installing does on a machine: a package manager's work, and files that can be made only there, such as those that fit one
 * processor. The command is run once, on a host of its own, and the disk that this host leaves is every host's from then on.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Kind } from "./Accelerator.ts"
import { Cache, type CacheError } from "./Cache.ts"
import * as Channel from "./Channel.ts"
import { type CommandFailed, runner } from "./internal/subprocess.ts"
import type { Flavour, KernelError } from "./KernelBuild.ts"
import * as Machine from "./Machine.ts"
import type { Progress } from "./Progress.ts"
import {
  type BuiltSystem,
  type ImageItem,
  type OfKernels,
  type PayloadItem,
  type PayloadRejected,
  SystemImage
} from "./SystemImage.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Installation {
  /** What it is called in progress reports. */
  readonly what: string
  /** A command that is there with the payload. */
  readonly run: readonly [string, ...Array<string>]
}

/**
 * @since 0.1.0
 * @category models
 */
export type Payload = ReadonlyArray<PayloadItem | Installation>

const IMAGE = "root.img"

const isInstallation = (item: Payload[number]): item is Installation => "run" in item
const isOfKernels = (item: Payload[number]): item is OfKernels => "ofKernels" in item
const isImageItem = (item: Payload[number]): item is ImageItem => "to" in item

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
    /** A system with the payload, and with what its installations have done on this emulator's machines. */
    readonly system: (
      payload: Payload,
      on: { readonly qemu: string; readonly accelerator: Kind; readonly flavour?: Flavour | undefined }
    ) => Effect.Effect<BuiltSystem, InstallError, Progress>
  }
>() {}

/** After it everything is on the disk, and the file system needs no recovery: the machine can be switched off. */
const settle = ["sh", "-c", "sync && fsfreeze --freeze /"] as const

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  Installed,
  never,
  Cache | SystemImage | Machine.Machine | Channel.Channel | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  Installed,
  Effect.gen(function* () {
    const cache = yield* Cache
    const systemImage = yield* SystemImage
    const machine = yield* Machine.Machine
    const channel = yield* Channel.Channel
    const paths = yield* Path.Path
    const command = yield* runner

    const install = (
      commands: ReadonlyArray<Installation["run"]>,
      { image, kernels }: BuiltSystem,
      on: { readonly qemu: string; readonly accelerator: Kind }
    ) =>
      Effect.gen(function* () {
        const { address } = yield* Effect.acquireRelease(
          machine.start({ name: `install-${process.pid}`, image, keep: true, kernel: kernels.boot.image, ...on }),
          ({ address }) => Effect.ignore(machine.stop(address.name))
        )
        yield* channel.waitReady(address, { timeout: "120 seconds" })
        for (const argv of [...commands, settle]) yield* channel.output(address, argv)
      }).pipe(Effect.scoped)

    const system = Effect.fn("Installed.system")(function* (
      payload: Payload,
      { flavour, ...on }: { readonly qemu: string; readonly accelerator: Kind; readonly flavour?: Flavour | undefined }
    ) {
      const items = payload.filter(isImageItem)
      const installations = payload.filter(isInstallation)
      const commands = installations.map(({ run }) => run)
      // The kernels come last: all flavours are made of one installation.
      const last = payload.filter(isOfKernels)
      if (commands.length === 0) return yield* systemImage.build([...items, ...last], { flavour })
      const before = yield* systemImage.build(items)
      const entry = yield* cache.entry({
        kind: "installed",
        what: installations.map(({ what }) => what).join(", "),
        // The system's path names its content.
        inputs: ["2", before.image, on.qemu, on.accelerator, ...commands.flatMap((run) => ["run", ...run])],
        build: (directory) =>
          Effect.gen(function* () {
            const image = paths.join(directory, IMAGE)
            yield* command(["cp", "--sparse=always", "--reflink=auto", before.image, image])
            yield* install(commands, { ...before, image }, on)
          })
      })
      yield* cache.prune("installed", 2)
      const after = { ...before, image: paths.join(entry, IMAGE) }
      return flavour === undefined && last.length === 0 ? after : yield* systemImage.build(last, { flavour, on: after })
    })
    return { system }
  })
)
