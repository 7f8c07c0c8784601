/**
 * The whole of it: a host built, started, used, stopped.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Accelerator from "./Accelerator.ts"
import * as Cache from "./Cache.ts"
import * as Channel from "./Channel.ts"
import * as DebianMirror from "./DebianMirror.ts"
import * as DebianSource from "./DebianSource.ts"
import * as EmulatorBuild from "./EmulatorBuild.ts"
import * as HostPrograms from "./HostPrograms.ts"
import * as Installed from "./Installed.ts"
import * as KernelBuild from "./KernelBuild.ts"
import * as Machine from "./Machine.ts"
import type { Progress } from "./Progress.ts"
import { track } from "./Progress.ts"
import * as Resources from "./Resources.ts"
import * as RootFs from "./RootFs.ts"
import * as SystemImage from "./SystemImage.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface StartOptions {
  readonly payload: Installed.Payload
  readonly cpus?: number | undefined
  readonly memoryMiB?: number | undefined
  readonly ports?: number | undefined
  /** See `MachineSpec`. */
  readonly passthrough?: boolean | undefined
  readonly append?: string | undefined
  /** Other kernels than the current mainline's; see `KernelBuild`. */
  readonly flavour?: KernelBuild.Flavour | undefined
  readonly extra?: ReadonlyArray<string> | undefined
  /** How long the host may take until it answers; 120 seconds unless told. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category errors
 */
export type BuildError =
  | Cache.CacheError
  | KernelBuild.KernelError
  | EmulatorBuild.EmulatorError
  | Installed.InstallError

/**
 * @since 0.1.0
 * @category errors
 */
export type StartError =
  | BuildError
  | Machine.BadHostName
  | Machine.HostAlreadyRunning
  | Machine.MachineFailed
  | Channel.ChannelBusy
  | Channel.ChannelClosed
  | Channel.HostNotReady

type NameError = Machine.HostNotRunning | Machine.BadHostName

/**
 * @since 0.1.0
 * @category services
 */
export class QemuHost extends Context.Tag("@liveupdate/qemu-host/QemuHost")<
  QemuHost,
  {
    /** Builds or finds everything that a host with this payload needs. */
    readonly ensure: (payload: Installed.Payload) => Effect.Effect<SystemImage.BuiltSystem, BuildError, Progress>
    /** Builds what is missing, starts a host and waits until it answers. Fails with `HostAlreadyRunning` if there is one. */
    readonly start: (name: string, options: StartOptions) => Effect.Effect<Machine.RunningHost, StartError, Progress>
    /** As `start`, but a host that runs already is taken as it is. */
    readonly join: (
      name: string,
      options: StartOptions
    ) => Effect.Effect<Machine.RunningHost, Exclude<StartError, Machine.HostAlreadyRunning>, Progress>
    readonly find: (name: string) => Effect.Effect<Machine.RunningHost, NameError>
    readonly list: Effect.Effect<ReadonlyArray<Machine.RunningHost>>
    readonly stop: (name: string) => Effect.Effect<void, NameError | Machine.MachineFailed>
    readonly reset: (name: string) => Effect.Effect<void, NameError | Machine.MachineFailed>
    /** See `Channel.exec`. */
    readonly exec: (
      name: string,
      argv: readonly [string, ...Array<string>],
      options?: Channel.ExecOptions
    ) => Effect.Effect<Channel.RemoteProcess, Channel.ChannelError | NameError, Scope.Scope>
    /** See `Channel.waitReady`; gives the boot id. */
    readonly waitReady: (
      name: string,
      options: { readonly timeout: Duration.DurationInput; readonly not?: string }
    ) => Effect.Effect<string, Channel.ChannelBusy | Channel.ChannelClosed | Channel.HostNotReady | NameError>
  }
>() {}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  QemuHost,
  never,
  | Installed.Installed
  | KernelBuild.KernelBuild
  | Accelerator.Accelerator
  | EmulatorBuild.EmulatorBuild
  | Machine.Machine
  | Channel.Channel
> = Layer.effect(
  QemuHost,
  Effect.gen(function* () {
    const installed = yield* Installed.Installed
    const kernels = yield* KernelBuild.KernelBuild
    const accelerator = yield* Accelerator.Accelerator
    const emulator = yield* EmulatorBuild.EmulatorBuild
    const machine = yield* Machine.Machine
    const channel = yield* Channel.Channel

    const prepare = Effect.fn("QemuHost.prepare")(function* (
      payload: Installed.Payload,
      options: { readonly flavour?: KernelBuild.Flavour | undefined } = {}
    ) {
      const { boot } = yield* kernels.kernels(options)
      const kind = yield* accelerator.probe(boot.image, yield* emulator.native)
      const qemu = yield* emulator.qemu(kind)
      const built = yield* installed.system(payload, { qemu, accelerator: kind, ...options })
      return { built, kind, qemu }
    })

    const start = Effect.fn("QemuHost.start")(function* (name: string, options: StartOptions) {
      // Said before the long work, not after it.
      const running = yield* Effect.either(machine.find(name))
      if (running._tag === "Right") return yield* new Machine.HostAlreadyRunning({ host: running.right })
      if (running.left._tag === "BadHostName") return yield* running.left
      const { built, kind, qemu } = yield* prepare(options.payload, { flavour: options.flavour })
      const host = yield* machine.start({
        name,
        qemu,
        image: built.image,
        kernel: built.kernels.boot.image,
        accelerator: kind,
        cpus: options.cpus,
        memoryMiB: options.memoryMiB,
        ports: options.ports,
        passthrough: options.passthrough,
        append: options.append,
        extra: options.extra
      })
      yield* track(`host ${name} boots`, () =>
        channel.waitReady(host.address, { timeout: options.timeout ?? "120 seconds" })
      ).pipe(
        // A host nobody could wait for is of no use to anybody, except for its log.
        Effect.onInterrupt(() => Effect.ignore(machine.stop(name)))
      )
      return host
    })
    const find = machine.find
    return {
      ensure: (payload) => Effect.map(prepare(payload), ({ built }) => built),
      start,
      join: (name, options) =>
        start(name, options).pipe(
          Effect.catchTag("HostAlreadyRunning", ({ host }) =>
            Effect.as(channel.waitReady(host.address, { timeout: options.timeout ?? "120 seconds" }), host)
          )
        ),
      find,
      list: machine.list,
      stop: machine.stop,
      reset: machine.reset,
      exec: (name, argv, options) => Effect.flatMap(find(name), (host) => channel.exec(host.address, argv, options)),
      waitReady: (name, options) => Effect.flatMap(find(name), (host) => channel.waitReady(host.address, options))
    }
  })
)

/**
 * Everything, on a platform of the caller's choice; `Channel`, `Machine` and `Cache` come along for those who need more.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDefault: Layer.Layer<
  QemuHost | SystemImage.SystemImage | Machine.Machine | Channel.Channel | KernelBuild.KernelBuild | Cache.Cache,
  Cache.CacheError | Machine.MachineFailed,
  FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor | Progress
> = layer.pipe(
  Layer.provide(Installed.layer),
  Layer.provideMerge(SystemImage.layer),
  Layer.provideMerge(KernelBuild.layer),
  Layer.provide(Layer.mergeAll(RootFs.layer, HostPrograms.layer, Accelerator.layer, EmulatorBuild.layer)),
  Layer.provide(Layer.merge(DebianMirror.layer, DebianSource.layer)),
  Layer.provide(Resources.layer),
  Layer.provideMerge(Layer.mergeAll(Cache.layer, Machine.layer, Channel.layer))
)
