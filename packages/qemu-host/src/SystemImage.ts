/**
 * The disk a host boots from: the base image with our programs, kernels and the caller's payload written into it.
 *
 * The payload is part of the one root file system (written by debugfs into a sparse copy, no mount, no root): nothing has to
 * be mounted after a jump before the agent can start, and a changed payload costs a copy and not a new base.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Cache, type CacheError, fingerprint } from "./Cache.ts"
import { HostPrograms } from "./HostPrograms.ts"
import { type CommandFailed, runner } from "./internal/subprocess.ts"
import { type Flavour, KernelBuild, type KernelError, type Kernels } from "./KernelBuild.ts"
import type { Progress } from "./Progress.ts"
import { RootFs } from "./RootFs.ts"

/**
 * Something of ours that goes inside: a file or a directory with all that is in it, modes of files kept, owned by root; a symbolic
 * link; or a directory of this mode. Missing directories are made.
 *
 * @since 0.1.0
 * @category models
 */
export type ImageItem =
  | { readonly from: string; readonly to: string }
  | { readonly link: string; readonly to: string }
  | { readonly mode: number; readonly to: string }

/**
 * What follows from the kernels that lie in /boot.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfKernels {
  /** Gets their images, as files outside. */
  readonly ofKernels: (images: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<ImageItem>>
}

/**
 * @since 0.1.0
 * @category models
 */
export type PayloadItem = ImageItem | OfKernels

/**
 * debugfs did not do what it was told, or a path can't be told to it.
 *
 * @since 0.1.0
 * @category errors
 */
export class PayloadRejected extends Data.TaggedError("PayloadRejected")<{
  readonly path: string
  readonly detail: string
}> {
  override get message() {
    return `cannot put ${this.path} into the host's image: ${this.detail}`
  }
}

/**
 * Where things are inside.
 *
 * @since 0.1.0
 * @category constants
 */
export const inside = {
  /** Kernels: `vmlinuz-RELEASE`. */
  boot: "/boot",
  /** The payload's usual place. */
  payload: "/usr/lib/liveupdate",
  /** If the payload has this executable, it is started by the first process of a kernel that was handed something. */
  earlyHook: "/usr/lib/liveupdate/early",
  /** Kernel for guests. */
  guestKernel: "/var/lib/liveupdate-demo/vmlinux",
  /** Initramfs of the demo's guest. */
  guestInitramfs: "/var/lib/liveupdate-demo/guest.cpio",
  init: "/usr/lib/liveupdate-host/init",
  channeld: "/usr/lib/liveupdate-host/channeld"
} as const

/**
 * @since 0.1.0
 * @category models
 */
export interface BuiltSystem {
  /** Raw disk image; shared, so to be opened with snapshot=on. */
  readonly image: string
  readonly kernels: Kernels
}

/**
 * @since 0.1.0
 * @category services
 */
export class SystemImage extends Context.Tag("@liveupdate/qemu-host/SystemImage")<
  SystemImage,
  {
    /** Builds what is missing: kernels (see `KernelBuild`), base, programs, and the image with this payload. */
    readonly build: (
      payload: ReadonlyArray<PayloadItem>,
      options?: {
        readonly flavour?: Flavour | undefined
        /** A system to build on, instead of the base; its kernels make room for the flavour's. */
        readonly on?: BuiltSystem | undefined
      }
    ) => Effect.Effect<BuiltSystem, CacheError | KernelError | CommandFailed | PayloadRejected, Progress>
  }
>() {}

/**
 * Commands for debugfs that write these files (directories already made into files and links). What is in the way is removed
 * first, and files that it is to be `without`; directories are made from the top. `mkdir` and `rm` may fail, `write` and
 * `symlink` must not.
 *
 * @since 0.1.0
 * @category pure
 */
export const debugfsScript = (items: ReadonlyArray<ImageItem>, without: ReadonlyArray<string> = []): string => {
  const quote = (path: string) => `"${path}"`
  const directories = new Set<string>()
  for (const item of items) {
    const parts = item.to.split("/").slice(1, "mode" in item ? undefined : -1)
    parts.forEach((_, index) => {
      directories.add(`/${parts.slice(0, index + 1).join("/")}`)
    })
  }
  return [
    ...without.map((path) => `rm ${quote(path)}`),
    ...[...directories].sort((a, b) => a.split("/").length - b.split("/").length).map((path) => `mkdir ${quote(path)}`),
    ...items.flatMap((item) => {
      const to = quote(item.to)
      if ("mode" in item) return [`sif ${to} mode 04${item.mode.toString(8).padStart(4, "0")}`]
      if ("link" in item) return [`rm ${to}`, `symlink ${to} ${quote(item.link)}`]
      return [`rm ${to}`, `write ${quote(item.from)} ${to}`, `sif ${to} uid 0`, `sif ${to} gid 0`]
    }),
    ""
  ].join("\n")
}

/**
 * What of debugfs's words is an error: everything but banners, and complaints of `mkdir` (exists) and `rm` (does not).
 *
 * @since 0.1.0
 * @category pure
 */
export const debugfsErrors = (stderr: string): ReadonlyArray<string> =>
  stderr
    .split("\n")
    .filter(
      (line) =>
        line !== "" &&
        !/^debugfs 1\./.test(line) &&
        !/^(ext2fs_)?mkdir: .*already exists/.test(line) &&
        !/^rm: File not found/.test(line)
    )

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  SystemImage,
  never,
  Cache | KernelBuild | RootFs | HostPrograms | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  SystemImage,
  Effect.gen(function* () {
    const cache = yield* Cache
    const kernelBuild = yield* KernelBuild
    const rootFs = yield* RootFs
    const hostPrograms = yield* HostPrograms
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const platform = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
    const command = yield* runner

    const inputOf = (item: ImageItem) =>
      "from" in item
        ? fingerprint(item.from).pipe(
            Effect.map((print) => `${item.to}\n${print}`),
            Effect.provide(platform)
          )
        : Effect.succeed(`${item.to}\n${"link" in item ? `-> ${item.link}` : item.mode}`)

    const inBoot = ({ boot, next }: Kernels) =>
      [boot, ...next].map(({ image, release }) => ({ from: image, to: `${inside.boot}/vmlinuz-${release}` }))

    const expand = (item: ImageItem): Effect.Effect<ReadonlyArray<ImageItem>, PayloadRejected> =>
      Effect.gen(function* () {
        for (const path of [item.to, ...("from" in item ? [item.from] : "link" in item ? [item.link] : [])])
          if (/["\n]/.test(path))
            return yield* new PayloadRejected({ path, detail: "quotes and line breaks can't be passed on" })
        if (!item.to.startsWith("/"))
          return yield* new PayloadRejected({ path: item.to, detail: "it must be absolute" })
        if (!("from" in item)) return [item]
        const failed = (error: { readonly message: string }) =>
          new PayloadRejected({ path: item.from, detail: error.message })
        const info = yield* fs.stat(item.from).pipe(Effect.mapError(failed))
        if (info.type !== "Directory")
          return [paths.isAbsolute(item.from) ? item : { from: paths.resolve(item.from), to: item.to }]
        const names = yield* fs.readDirectory(item.from).pipe(Effect.mapError(failed))
        return (yield* Effect.forEach([...names].sort(), (name) =>
          expand({ from: paths.join(item.from, name), to: `${item.to.replace(/\/$/, "")}/${name}` })
        )).flat()
      })

    const build = Effect.fn("SystemImage.build")(function* (
      payload: ReadonlyArray<PayloadItem>,
      { flavour, on }: { readonly flavour?: Flavour | undefined; readonly on?: BuiltSystem | undefined } = {}
    ) {
      const kernels = yield* kernelBuild.kernels({ flavour })
      const base = on?.image ?? (yield* rootFs.image)
      const without = on === undefined ? [] : inBoot(on.kernels).map(({ to }) => to)
      const programs = yield* hostPrograms.programs
      const bootable = inBoot(kernels)
      const own: ReadonlyArray<ImageItem> = [
        ...bootable,
        { from: kernels.guest ?? kernels.boot.image, to: inside.guestKernel },
        { from: programs.guestInitramfs, to: inside.guestInitramfs },
        { from: programs.init, to: inside.init },
        { from: programs.channeld, to: inside.channeld }
      ]
      const images = bootable.map(({ from }) => from)
      const theirs = yield* Effect.forEach(payload, (item) =>
        "ofKernels" in item ? item.ofKernels(images) : Effect.succeed([item])
      )
      const items = (yield* Effect.forEach([...own, ...theirs.flat()], expand)).flat()
      const contents = yield* Effect.forEach(items, inputOf)
      const entry = yield* cache.entry({
        kind: "system",
        what: "host image",
        inputs: ["1", base, ...without, ...contents],
        build: (directory) =>
          Effect.gen(function* () {
            const image = paths.join(directory, "root.img")
            yield* command(["cp", "--sparse=always", "--reflink=auto", base, image])
            const script = paths.join(directory, "debugfs.cmd")
            yield* fs
              .writeFileString(script, debugfsScript(items, without))
              .pipe(Effect.mapError((error) => new PayloadRejected({ path: script, detail: error.message })))
            const { stderr } = yield* command(["debugfs", "-w", "-f", script, image])
            const errors = debugfsErrors(stderr)
            if (errors.length > 0)
              return yield* new PayloadRejected({ path: image, detail: errors.slice(0, 5).join("; ") })
          })
      })
      // One to install on, and one for each flavour. Running hosts keep their image open, so removing it here takes nothing from them.
      yield* cache.prune("system", 5)
      return { image: paths.join(entry, "root.img"), kernels }
    })
    return { build }
  })
)
