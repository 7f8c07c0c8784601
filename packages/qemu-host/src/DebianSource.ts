/**
 * Source packages of what is installed on this machine, from the machine's own suites, with private lists as for `DebianMirror`.
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
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Cache, CacheError } from "./Cache.ts"
import { compareVersions, MirrorUnavailable, type PackageVersion, parseMadison } from "./DebianMirror.ts"
import * as AptState from "./internal/aptState.ts"
import { lines, runner } from "./internal/subprocess.ts"
import type { Progress } from "./Progress.ts"

/**
 * No installed package of that name, so no source that it was built from.
 *
 * @since 0.1.0
 * @category errors
 */
export class PackageNotInstalled extends Data.TaggedError("PackageNotInstalled")<{ readonly name: string }> {
  override get message() {
    return `the Debian package ${this.name} is not installed; install what hosts are built with by: npm run setup -- --host`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export type SourceError = PackageNotInstalled | MirrorUnavailable | CacheError

/**
 * @since 0.1.0
 * @category services
 */
export class DebianSource extends Context.Tag("@liveupdate/qemu-host/DebianSource")<
  DebianSource,
  {
    /**
     * The source package that an installed package was built from: of the same version if the mirror still has it, else the
     * newest of the machine's suites.
     */
    readonly sourceOf: (installed: string) => Effect.Effect<PackageVersion, SourceError, Progress>
    /** Downloads a source package into a directory; gives the path of the .dsc. Its hashes are those of the signed lists. */
    readonly download: (
      wanted: PackageVersion,
      directory: string
    ) => Effect.Effect<string, MirrorUnavailable | CacheError, Progress>
  }
>() {}

/**
 * Source lines for all of Debian's that the machine takes packages from, by what `apt-get indextargets` lists as
 * `origin|uri|release|component` lines.
 *
 * @since 0.1.0
 * @category pure
 */
export const sourceLinesOf = (targets: string): ReadonlyArray<string> => [
  ...new Set(
    lines(targets)
      .map((line) => line.split("|"))
      .filter(([origin, , , component]) => origin === "Debian" && component === "main")
      .map(([, uri, release]) => `deb-src ${uri?.replace(/\/+$/, "")} ${release} main`)
  )
]

/**
 * Chooses from what there is: the wanted version, else the newest.
 *
 * @since 0.1.0
 * @category pure
 */
export const chooseSource = (
  available: ReadonlyArray<PackageVersion>,
  version: string
): Option.Option<PackageVersion> =>
  Option.fromNullable(
    available.find((candidate) => candidate.version === version) ??
      [...available].sort((a, b) => compareVersions(b.version, a.version))[0]
  )

const Found = Schema.parseJson(Schema.Struct({ name: Schema.String, version: Schema.String, suite: Schema.String }))

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  DebianSource,
  never,
  Cache | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  DebianSource,
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const command = yield* runner
    const unavailable = (operation: string) => (error: { readonly message: string }) =>
      new MirrorUnavailable({ operation, detail: error.message })

    const { home, apt, ready } = yield* AptState.make({
      name: "apt-source",
      what: "Debian source lists",
      sources: command(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"]).pipe(
        Effect.map(({ stdout }) =>
          sourceLinesOf(stdout)
            .map((line) => `${line}\n`)
            .join("")
        ),
        Effect.mapError(unavailable("read the machine's apt configuration"))
      ),
      failed: unavailable
    })

    return {
      sourceOf: Effect.fn("DebianSource.sourceOf")(function* (installed: string) {
        const format = "${db:Status-Status} ${source:Package} ${source:Version}"
        const status = yield* command(["dpkg-query", "-W", "-f", format, installed]).pipe(
          Effect.mapError(() => new PackageNotInstalled({ name: installed }))
        )
        const [state, name, version] = status.stdout.split(" ")
        if (state !== "installed" || name === undefined || version === undefined)
          return yield* new PackageNotInstalled({ name: installed })
        const answer = paths.join(home, `${name}.json`)
        const known = yield* fs.readFileString(answer).pipe(Effect.flatMap(Schema.decode(Found)), Effect.option)
        // A version is what it is for good, so the mirror need not be asked again.
        if (Option.isSome(known) && known.value.version === version) return known.value
        yield* ready
        const { stdout } = yield* apt("apt-cache", ["madison", name]).pipe(Effect.mapError(unavailable("list sources")))
        const chosen = yield* Option.match(chooseSource(parseMadison(stdout), version), {
          onNone: () => new MirrorUnavailable({ operation: "list sources", detail: `there is no source of ${name}` }),
          onSome: Effect.succeed
        })
        yield* Schema.encode(Found)(chosen).pipe(
          Effect.flatMap((text) => fs.writeFileString(answer, text)),
          Effect.ignore
        )
        return chosen
      }),
      download: Effect.fn("DebianSource.download")(function* (wanted: PackageVersion, directory: string) {
        yield* ready
        yield* apt("apt-get", ["source", "--only-source", "--download-only", `${wanted.name}=${wanted.version}`], {
          cwd: directory
        }).pipe(Effect.mapError(unavailable(`download the source of ${wanted.name} ${wanted.version}`)))
        const names = yield* fs.readDirectory(directory).pipe(Effect.mapError(unavailable("download")))
        const name = names.find((candidate) => candidate.startsWith(`${wanted.name}_`) && candidate.endsWith(".dsc"))
        if (name === undefined)
          return yield* new MirrorUnavailable({ operation: "download", detail: `${wanted.name} did not arrive` })
        return paths.join(directory, name)
      })
    }
  })
)
