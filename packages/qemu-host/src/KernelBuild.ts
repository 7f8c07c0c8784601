/**
 * Kernels for the host: built from Debian's source package, or brought by the user.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import { Cache, type CacheError } from "./Cache.ts"
import {
  DebianMirror,
  type KernelSourceNotFound,
  type KernelWish,
  type MirrorUnavailable,
  type PackageVersion
} from "./DebianMirror.ts"
import { type CommandFailed, compilerVersion, processors, runner } from "./internal/subprocess.ts"
import { NotAKernel, releaseOf } from "./KernelImage.ts"
import type { Progress } from "./Progress.ts"
import { Resources } from "./Resources.ts"

/**
 * A kernel image as a file outside.
 *
 * @since 0.1.0
 * @category models
 */
export interface Kernel {
  /** As the image says: `7.3.4-host-a`. */
  readonly release: string
  /** The bzImage. */
  readonly image: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Kernels {
  /** The host boots this one. */
  readonly boot: Kernel
  /** What it can be upgraded to, the first one at first. */
  readonly next: ReadonlyArray<Kernel>
  /** Uncompressed, with PVH entry: guests start fastest from it. None if the user's kernel came without one. */
  readonly guest: string | undefined
  /** Where the source came from. */
  readonly origin: string
}

/**
 * @since 0.1.0
 * @category errors
 */
export type KernelError = CacheError | MirrorUnavailable | KernelSourceNotFound | CommandFailed | NotAKernel

/**
 * @since 0.1.0
 * @category services
 */
export class KernelBuild extends Context.Tag("@liveupdate/qemu-host/KernelBuild")<
  KernelBuild,
  {
    /**
     * Two kernels of the same source and configuration that differ in their release name. With `older` a third one before
     * them, from the series before (7.2), which has the same ABI strings.
     *
     * `LIVEUPDATE_KERNEL` (a bzImage) is booted instead if set, and `LIVEUPDATE_KERNEL_NEXT` is the one to upgrade to (else the
     * same image); guests then use `LIVEUPDATE_GUEST_KERNEL`, else the bzImage.
     */
    readonly kernels: (options?: { readonly older?: boolean }) => Effect.Effect<Kernels, KernelError, Progress>
  }
>() {}

/**
 * The release that hosts run.
 *
 * @since 0.1.0
 * @category constants
 */
export const current: KernelWish = { pinned: "7.3.4", series: "7.3", major: "7" }
const older: KernelWish = { pinned: "7.2.13", series: "7.2", major: "7" }

/** Lines `make` prints for this configuration; only for the progress report. */
const APPROXIMATE_STEPS = 2150

/**
 * What is left out when the source is unpacked: drivers that this configuration can't use. Their Kconfig files are needed.
 * Half the time of unpacking is saved.
 */
const UNUSED = [
  "Documentation/*/*",
  ...[
    "alpha",
    "arc",
    "arm",
    "arm64",
    "csky",
    "loongarch",
    "m68k",
    "mips",
    "parisc",
    "powerpc",
    "riscv",
    "s390",
    "sh",
    "sparc"
  ].flatMap((arch) => [`arch/${arch}/*.[chS]`, `arch/${arch}/*.dts`, `arch/${arch}/*.dtsi`]),
  "drivers/gpu/drm/*.[ch]",
  "drivers/media/*.[ch]",
  "drivers/staging/*.[ch]",
  "drivers/net/wireless/*.[ch]",
  "drivers/net/ethernet/*.[ch]",
  "drivers/infiniband/*.[ch]",
  "sound/*.[ch]",
  "tools/testing/*",
  "tools/perf/*"
]

const buildEnvironment = {
  KBUILD_BUILD_TIMESTAMP: "2026-01-01",
  KBUILD_BUILD_USER: "liveupdate",
  KBUILD_BUILD_HOST: "liveupdate",
  LC_ALL: "C",
  // Nobody's settings leak in.
  MAKEFLAGS: "",
  CROSS_COMPILE: "",
  ARCH: "x86_64"
}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  KernelBuild,
  never,
  Cache | DebianMirror | Resources | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  KernelBuild,
  Effect.gen(function* () {
    const cache = yield* Cache
    const mirror = yield* DebianMirror
    const resources = yield* Resources
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const command = yield* runner

    const read = (path: string): Effect.Effect<Kernel, NotAKernel> =>
      fs.readFile(path).pipe(
        Effect.mapError((error) => new NotAKernel({ path, reason: error.message })),
        Effect.flatMap((image) => releaseOf(path, image)),
        Effect.map((release) => ({ release, image: path }))
      )

    /** Unpacks, configures and makes every flavour in turn; flavours differ in name only, so the later ones just relink. */
    const build = (source: PackageVersion, flavours: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const config = paths.join(resources.directory, "kernel", "host.config")
        const fragment = yield* fs
          .readFileString(config)
          .pipe(Effect.mapError((error) => new NotAKernel({ path: config, reason: error.message })))
        const compiler = yield* compilerVersion(command)
        const jobs = yield* processors(command)
        return yield* cache.entry({
          kind: "kernel",
          what: `kernel ${source.version}`,
          inputs: ["3", source.name, source.version, flavours.join(" "), fragment, compiler],
          build: (directory, update) =>
            Effect.scoped(
              Effect.gen(function* () {
                // Beside the entry, so that only what is kept is in it; gone with it if we are killed.
                const work = paths.join(directory, "work")
                const tree = paths.join(work, "linux")
                const objects = paths.join(work, "objects")
                yield* Effect.forEach([work, tree, objects], (path) => Effect.orDie(fs.makeDirectory(path)), {
                  discard: true
                })
                yield* update({ detail: `fetching ${source.name} from ${source.suite}` })
                const deb = yield* mirror.download(source, work)
                yield* update({ detail: "unpacking" })
                yield* command(["dpkg-deb", "-x", deb, paths.join(work, "deb")])
                yield* command([
                  "tar",
                  "-x",
                  "-f",
                  paths.join(work, "deb", "usr", "src", `${source.name}.tar.xz`),
                  "-C",
                  tree,
                  "--strip-components=1",
                  "--wildcards",
                  "--no-anchored",
                  ...UNUSED.map((pattern) => `--exclude=${source.name}/${pattern}`)
                ])
                const steps = yield* Ref.make(0)
                for (const flavour of flavours) {
                  const allConfig = paths.join(work, `${flavour}.config`)
                  yield* Effect.orDie(
                    fs.writeFileString(allConfig, `${fragment}\nCONFIG_LOCALVERSION="-host-${flavour}"\n`)
                  )
                  const make = (...targets: ReadonlyArray<string>) =>
                    command(["make", "-C", tree, `O=${objects}`, `-j${jobs}`, ...targets], {
                      env: buildEnvironment,
                      onLine: (line) =>
                        /^ {2}[A-Z][A-Z0-9]* +\S/.test(line)
                          ? Ref.updateAndGet(steps, (n) => n + 1).pipe(
                              Effect.flatMap((done) =>
                                update({
                                  done,
                                  total: Math.max(done, APPROXIMATE_STEPS),
                                  // Some lines name their target in full.
                                  detail: line.trim().split(/ +/).at(-1)?.replace(`${objects}/`, "")
                                })
                              )
                            )
                          : Effect.void
                    })
                  yield* make("allnoconfig", `KCONFIG_ALLCONFIG=${allConfig}`)
                  yield* make("bzImage")
                  yield* command([
                    "cp",
                    paths.join(objects, "arch/x86/boot/bzImage"),
                    paths.join(directory, `bzImage-${flavour}`)
                  ])
                }
                yield* command(["strip", "-o", paths.join(directory, "vmlinux"), paths.join(objects, "vmlinux")])
                yield* command(["cp", paths.join(objects, ".config"), paths.join(directory, "config")])
                yield* command(["rm", "-rf", work])
              })
            )
        })
      })

    const brought = Effect.gen(function* () {
      const image = yield* Config.option(Config.nonEmptyString("LIVEUPDATE_KERNEL"))
      if (Option.isNone(image)) return Option.none<Kernels>()
      const next = yield* Config.withDefault(Config.nonEmptyString("LIVEUPDATE_KERNEL_NEXT"), image.value)
      const guest = yield* Config.withDefault(Config.nonEmptyString("LIVEUPDATE_GUEST_KERNEL"), image.value)
      const boot = yield* read(paths.resolve(image.value))
      const other = yield* read(paths.resolve(next))
      return Option.some<Kernels>({
        boot,
        next: other.release === boot.release ? [] : [other],
        guest: paths.resolve(guest),
        origin: image.value
      })
    }).pipe(Effect.catchTag("ConfigError", () => Effect.succeed(Option.none<Kernels>())))

    const kernels = Effect.fn("KernelBuild.kernels")(function* (options: { readonly older?: boolean } = {}) {
      const own = yield* brought
      if (Option.isSome(own)) return own.value
      const source = yield* mirror.findKernelSource(current)
      const entry = yield* build(source, ["a", "b"])
      const [a, b] = yield* Effect.all([read(paths.join(entry, "bzImage-a")), read(paths.join(entry, "bzImage-b"))])
      const guest = paths.join(entry, "vmlinux")
      const origin = `${source.name} ${source.version} (${source.suite})`
      if (options.older !== true) return { boot: a, next: [b], guest, origin }
      const olderSource = yield* mirror.findKernelSource(older)
      const old = yield* read(paths.join(yield* build(olderSource, ["old"]), "bzImage-old"))
      return { boot: old, next: [a, b], guest, origin: `${olderSource.name} ${olderSource.version}, ${origin}` }
    })
    return { kernels }
  })
)
