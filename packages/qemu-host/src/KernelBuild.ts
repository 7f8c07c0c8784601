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
import { Cache, type CacheError, fingerprint } from "./Cache.ts"
import {
  DebianMirror,
  type KernelSourceNotFound,
  type KernelWish,
  type MirrorUnavailable,
  type PackageVersion
} from "./DebianMirror.ts"
import { type CommandFailed, compilerVersion, processors, runner } from "./internal/subprocess.ts"
import { NotAKernel, releaseOf } from "./KernelImage.ts"
import type { Progress, Update } from "./Progress.ts"
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
 * Other kernels than the current mainline's. `older`: the host boots one of the series before (7.2), which has the same ABI strings,
 * and can be upgraded to the two usual ones. `handlers`: it boots one with the handlers of the test fixture (`kernel/handlers`) for
 * VFIO devices, iommufds, KVM VMs and guest_memfds, and can be upgraded to another of that kind, or to a mainline one.
 *
 * @since 0.1.0
 * @category models
 */
export type Flavour = "older" | "handlers"

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
     * Two kernels of the same source and configuration that differ in their release name; see `Flavour` for others.
     *
     * `LIVEUPDATE_KERNEL` (a bzImage) is booted instead if set, and `LIVEUPDATE_KERNEL_NEXT` is the one to upgrade to (else the
     * same image); guests then use `LIVEUPDATE_GUEST_KERNEL`, else the bzImage.
     */
    readonly kernels: (options?: {
      readonly flavour?: Flavour | undefined
    }) => Effect.Effect<Kernels, KernelError, Progress>
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
const APPROXIMATE_STEPS = 2160
const APPROXIMATE_FIXTURE_STEPS = 110

const MAINLINE = ["host-a", "host-b"]

/** Source and objects of a kernel that was made, for those that differ from it in little. */
const TREE = "tree.tar.gz"
/** In the source's directory. */
const OBJECTS = "objects"

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
    const platform = yield* Effect.context<FileSystem.FileSystem | Path.Path>()

    const read = (path: string): Effect.Effect<Kernel, NotAKernel> =>
      fs.readFile(path).pipe(
        Effect.mapError((error) => new NotAKernel({ path, reason: error.message })),
        Effect.flatMap((image) => releaseOf(path, image)),
        Effect.map((release) => ({ release, image: path }))
      )

    const text = (path: string): Effect.Effect<string, NotAKernel> =>
      fs.readFileString(path).pipe(Effect.mapError((error) => new NotAKernel({ path, reason: error.message })))

    /**
     * Configures and makes every flavour in turn, named `bzImage-FLAVOUR`. Flavours differ in name only, so the later ones just
     * relink. The objects are in the source's directory: paths in them are relative, and both can move together.
     */
    const makeAll = (options: {
      readonly tree: string
      readonly directory: string
      readonly fragment: string
      readonly flavours: ReadonlyArray<string>
      readonly approximateSteps: number
      readonly update: (update: Update) => Effect.Effect<void>
    }) =>
      Effect.gen(function* () {
        const { directory, tree, update } = options
        const objects = paths.join(tree, OBJECTS)
        const jobs = yield* processors(command)
        const steps = yield* Ref.make(0)
        const make = (...targets: ReadonlyArray<string>) =>
          command(["make", "-C", tree, `O=${objects}`, `-j${jobs}`, ...targets], {
            env: buildEnvironment,
            onLine: (line) =>
              /^ {2}[A-Z][A-Z0-9]* +\S/.test(line)
                ? Ref.updateAndGet(steps, (n) => n + 1).pipe(
                    Effect.flatMap((done) =>
                      update({
                        done,
                        total: Math.max(done, options.approximateSteps),
                        // Some lines name their target in full.
                        detail: line.trim().split(/ +/).at(-1)?.replace(`${objects}/`, "")
                      })
                    )
                  )
                : Effect.void
          })
        yield* Effect.orDie(fs.makeDirectory(objects, { recursive: true }))
        for (const flavour of options.flavours) {
          const allConfig = paths.join(directory, `${flavour}.config`)
          yield* Effect.orDie(fs.writeFileString(allConfig, `${options.fragment}\nCONFIG_LOCALVERSION="-${flavour}"\n`))
          yield* make("allnoconfig", `KCONFIG_ALLCONFIG=${allConfig}`)
          yield* make("bzImage")
          yield* command(["rm", allConfig])
          yield* command([
            "cp",
            paths.join(objects, "arch/x86/boot/bzImage"),
            paths.join(directory, `bzImage-${flavour}`)
          ])
        }
        yield* command(["strip", "-o", paths.join(directory, "vmlinux"), paths.join(objects, "vmlinux")])
        yield* command(["cp", paths.join(objects, ".config"), paths.join(directory, "config")])
      })

    const build = (source: PackageVersion, flavours: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const fragment = yield* text(paths.join(resources.directory, "kernel", "host.config"))
        const compiler = yield* compilerVersion(command)
        const inputs = ["4", source.name, source.version, flavours.join(" "), fragment, compiler]
        const entry = yield* cache.entry({
          kind: "kernel",
          what: `kernel ${source.version}`,
          inputs,
          build: (directory, update) =>
            Effect.gen(function* () {
              // Gone with the entry if we are killed.
              const work = paths.join(directory, "work")
              const tree = paths.join(work, "linux")
              yield* Effect.orDie(fs.makeDirectory(tree, { recursive: true }))
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
              yield* makeAll({ tree, directory, fragment, flavours, approximateSteps: APPROXIMATE_STEPS, update })
              yield* update({ detail: "keeping the tree" })
              // Times to the nanosecond: make goes by them.
              const archive = paths.join(directory, TREE)
              yield* command(["tar", "-c", "--format=posix", "-I", "gzip -1", "-f", archive, "-C", work, "linux"])
              yield* command(["rm", "-rf", work])
            })
        })
        return { entry, fragment, inputs }
      })

    /**
     * objtool is the one program whose own build goes by absolute paths: where the tree has moved it is made anew, and being newer
     * than all objects it would have all of them made anew. So it is made first, and is as old as it was.
     */
    const keepObjtool = (tree: string) =>
      Effect.gen(function* () {
        const tools = paths.join(tree, OBJECTS, "tools")
        const reference = paths.join(tree, OBJECTS, ".objtool")
        yield* command(["cp", "-p", paths.join(tools, "objtool", "objtool"), reference])
        yield* command(["make", "-C", tree, `O=${paths.join(tree, OBJECTS)}`, "tools/objtool"], {
          env: buildEnvironment
        })
        yield* command(["find", tools, "-newer", reference, "-exec", "touch", "-r", reference, "{}", "+"])
      })

    /** The same kernel with the handlers of the test fixture (`kernel/handlers`): what they change is compiled, the rest relinked. */
    const buildHandlers = (source: PackageVersion, flavours: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const base = yield* build(source, MAINLINE)
        const fixture = paths.join(resources.directory, "kernel", "handlers")
        const fragment = `${base.fragment}\n${yield* text(paths.join(fixture, "handlers.config"))}`
        const print = yield* Effect.provide(fingerprint(fixture), platform)
        return yield* cache.entry({
          kind: "kernel",
          what: `kernel ${source.version} with handlers`,
          inputs: [...base.inputs, flavours.join(" "), print],
          build: (directory, update) =>
            Effect.gen(function* () {
              const work = paths.join(directory, "work")
              const tree = paths.join(work, "linux")
              yield* Effect.orDie(fs.makeDirectory(work))
              yield* update({ detail: "unpacking" })
              yield* command(["tar", "-x", "-f", paths.join(base.entry, TREE), "-C", work])
              yield* keepObjtool(tree)
              yield* command(["patch", "-p1", "--fuzz=0", "-d", tree, "-i", paths.join(fixture, "hooks.patch")])
              yield* command(["cp", "-R", `${paths.join(fixture, "tree")}/.`, tree])
              yield* makeAll({
                tree,
                directory,
                fragment,
                flavours,
                approximateSteps: APPROXIMATE_FIXTURE_STEPS,
                update
              })
              yield* command(["rm", "-rf", work])
            })
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

    const kernels = Effect.fn("KernelBuild.kernels")(function* (
      options: { readonly flavour?: Flavour | undefined } = {}
    ) {
      const own = yield* brought
      if (Option.isSome(own)) return own.value
      const source = yield* mirror.findKernelSource(current)
      const { entry } = yield* build(source, MAINLINE)
      const [a, b] = yield* Effect.all([
        read(paths.join(entry, "bzImage-host-a")),
        read(paths.join(entry, "bzImage-host-b"))
      ])
      const guest = paths.join(entry, "vmlinux")
      const origin = `${source.name} ${source.version} (${source.suite})`
      if (options.flavour === "handlers") {
        const handlers = yield* buildHandlers(source, ["handlers-a", "handlers-b"])
        const [boot, next] = yield* Effect.all([
          read(paths.join(handlers, "bzImage-handlers-a")),
          read(paths.join(handlers, "bzImage-handlers-b"))
        ])
        return { boot, next: [next, b], guest, origin: `${origin} with test handlers` }
      }
      if (options.flavour !== "older") return { boot: a, next: [b], guest, origin }
      const olderSource = yield* mirror.findKernelSource(older)
      const old = yield* read(paths.join((yield* build(olderSource, ["host-old"])).entry, "bzImage-host-old"))
      return { boot: old, next: [a, b], guest, origin: `${olderSource.name} ${olderSource.version}, ${origin}` }
    })
    return { kernels }
  })
)
