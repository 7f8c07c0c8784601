/**
 * The QEMU that hosts run on: Debian's as it is where hardware virtualisation works, else Debian's source with a few bugs of its
 * nested virtualisation mended (`emulator/`, `docs/emulator.md`), or one that the user brings.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Kind } from "./Accelerator.ts"
import { Cache, type CacheError, fingerprint } from "./Cache.ts"
import type { PackageVersion } from "./DebianMirror.ts"
import { DebianSource, type SourceError } from "./DebianSource.ts"
import { type CommandFailed, compilerVersion, processors, runner } from "./internal/subprocess.ts"
import { Progress, type Update } from "./Progress.ts"
import { Resources } from "./Resources.ts"

/**
 * What `LIVEUPDATE_QEMU` names can't be run, or is something else.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotAnEmulator extends Data.TaggedError("NotAnEmulator")<{
  readonly path: string
  readonly detail: string
}> {
  override get message() {
    return `LIVEUPDATE_QEMU=${this.path} is no QEMU: ${this.detail}; name a qemu-system-x86_64, or unset it`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export type EmulatorError = CacheError | SourceError | CommandFailed | NotAnEmulator

/**
 * @since 0.1.0
 * @category services
 */
export class EmulatorBuild extends Context.Tag("@liveupdate/qemu-host/EmulatorBuild")<
  EmulatorBuild,
  {
    /** The QEMU to try hardware virtualisation with: `LIVEUPDATE_QEMU` if set, else Debian's. */
    readonly native: Effect.Effect<string, NotAnEmulator>
    /**
     * The QEMU to run hosts with: `LIVEUPDATE_QEMU` if set, Debian's for `kvm`, and for `tcg` the patched one, built if it isn't
     * there. Debian's is taken for `tcg` as well if it is of a series that there are no patches for.
     */
    readonly qemu: (accelerator: Kind) => Effect.Effect<string, EmulatorError, Progress>
  }
>() {}

const DEBIAN_QEMU = "qemu-system-x86_64"

/** The series that there are patches for (`emulator/SERIES/*.patch`), and what their `configure` needs besides. */
const PATCHED: Readonly<Record<string, ReadonlyArray<string>>> = {
  "7.2": ["--with-git-submodules=ignore"],
  // Python packages of its own would come from the network.
  "10.0": ["--disable-download"]
}

/**
 * The upstream series of a Debian version: `1:7.2+dfsg-7+deb12u18` is of 7.2.
 *
 * @since 0.1.0
 * @category pure
 */
export const seriesOf = (version: string): string => /^(?:\d+:)?(\d+\.\d+)/.exec(version)?.[1] ?? version

/**
 * What `configure` is told: one machine on TCG and nothing else, a tenth of what QEMU can be. `undefined` if there are no
 * patches for the version.
 *
 * @since 0.1.0
 * @category pure
 */
export const configureArguments = (version: string): ReadonlyArray<string> | undefined => {
  const own = PATCHED[seriesOf(version)]
  return own === undefined
    ? undefined
    : [
        "--cc=gcc",
        "--target-list=x86_64-softmmu",
        "--without-default-features",
        "--without-default-devices",
        "--with-devices-x86_64=liveupdate",
        "--enable-system",
        "--enable-tcg",
        "--enable-fdt=system",
        "--disable-kvm",
        "--disable-user",
        "--disable-tools",
        "--disable-docs",
        "--disable-guest-agent",
        "--disable-debug-info",
        "--disable-werror",
        "--disable-install-blobs",
        "--audio-drv-list=",
        // Of Debian's packages qemu-system-data and seabios.
        "--firmwarepath=/usr/share/qemu:/usr/share/seabios",
        `--with-pkgversion=Debian ${version}, patched by liveupdate`,
        ...own
      ]
}

/**
 * How far ninja is, by a line of its: `[12/1034] Compiling C object libqom.fa.p/qom_object.c.o`.
 *
 * @since 0.1.0
 * @category pure
 */
export const ninjaProgress = (line: string): Option.Option<Update> =>
  Option.map(Option.fromNullable(/^\[(\d+)\/(\d+)\] .*?([^/ ]+)$/.exec(line)), ([, done, total, detail]) => ({
    done: Number(done),
    total: Number(total),
    detail
  }))

const buildEnvironment = {
  LC_ALL: "C",
  // Nobody's settings leak in.
  MAKEFLAGS: "",
  CFLAGS: "",
  CXXFLAGS: "",
  CPPFLAGS: "",
  LDFLAGS: ""
}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  EmulatorBuild,
  never,
  Cache | DebianSource | Resources | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  EmulatorBuild,
  Effect.gen(function* () {
    const cache = yield* Cache
    const debian = yield* DebianSource
    const resources = yield* Resources
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const platform = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
    const command = yield* runner
    const resource = (...names: ReadonlyArray<string>) => paths.join(resources.directory, "emulator", ...names)

    const brought = Effect.gen(function* () {
      const wanted = yield* Config.option(Config.nonEmptyString("LIVEUPDATE_QEMU")).pipe(
        Effect.orElseSucceed(() => Option.none<string>())
      )
      if (Option.isNone(wanted)) return Option.none<string>()
      const path = paths.resolve(wanted.value)
      const { stdout } = yield* command([path, "--version"]).pipe(
        Effect.mapError((error) => new NotAnEmulator({ path, detail: error.detail }))
      )
      if (!stdout.startsWith("QEMU emulator version"))
        return yield* new NotAnEmulator({ path, detail: `it calls itself "${stdout.split("\n")[0]}"` })
      return Option.some(path)
    })

    const build = (source: PackageVersion, configure: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const patches = resource(seriesOf(source.version))
        const devices = resource("devices.mak")
        const compiler = yield* compilerVersion(command)
        const jobs = yield* processors(command)
        const prints = yield* Effect.provide(Effect.all([fingerprint(patches), fingerprint(devices)]), platform)
        return yield* cache.entry({
          kind: "emulator",
          what: `emulator ${source.version}`,
          inputs: ["1", source.name, source.version, ...prints, ...configure, compiler],
          build: (directory, update) =>
            Effect.gen(function* () {
              const work = paths.join(directory, "work")
              const tree = paths.join(work, "qemu")
              const objects = paths.join(work, "objects")
              yield* command(["mkdir", "-p", objects])
              yield* update({ detail: `fetching the source of ${source.name} from ${source.suite}` })
              const dsc = yield* debian.download(source, work)
              yield* update({ detail: "unpacking" })
              // With Debian's own patches. What the .dsc says was checked by apt.
              yield* command(["dpkg-source", "--no-check", "-x", dsc, tree])
              const names = yield* Effect.orDie(fs.readDirectory(patches))
              for (const name of names.filter((name) => name.endsWith(".patch")).sort())
                yield* command(["patch", "-p1", "--fuzz=0", "-d", tree, "-i", paths.join(patches, name)])
              yield* command(["cp", devices, paths.join(tree, "configs/devices/x86_64-softmmu/liveupdate.mak")])
              yield* update({ detail: "configuring" })
              yield* command([paths.join(tree, "configure"), ...configure], { cwd: objects, env: buildEnvironment })
              yield* command(["ninja", "-C", objects, `-j${jobs}`, DEBIAN_QEMU], {
                env: buildEnvironment,
                onLine: (line) => Option.match(ninjaProgress(line), { onNone: () => Effect.void, onSome: update })
              })
              const binary = paths.join(directory, DEBIAN_QEMU)
              yield* command(["strip", "-o", binary, paths.join(objects, DEBIAN_QEMU)])
              // What can't be started is no result.
              yield* command([binary, "--version"])
              yield* command(["rm", "-rf", work])
            })
        })
      })

    const patched = Effect.gen(function* () {
      const source = yield* debian.sourceOf("qemu-system-x86")
      const configure = configureArguments(source.version)
      if (configure === undefined) {
        const progress = yield* Progress
        const what = `no patches for QEMU ${seriesOf(source.version)}: it is used as installed`
        yield* progress.report({ what, state: "done", elapsed: 0 })
        return DEBIAN_QEMU
      }
      const entry = yield* build(source, configure)
      return paths.join(entry, DEBIAN_QEMU)
    })

    return {
      native: Effect.map(
        brought,
        Option.getOrElse(() => DEBIAN_QEMU)
      ),
      qemu: Effect.fn("EmulatorBuild.qemu")(function* (accelerator: Kind) {
        const own = yield* brought
        if (Option.isSome(own)) return own.value
        return accelerator === "kvm" ? DEBIAN_QEMU : yield* patched
      })
    }
  })
)
