/**
 * Packages of newer Debian suites than the machine's own, from the machine's own mirror. The machine's sources and lists are
 * only read: lists, sources and cache are private, under the cache directory.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Cache, CacheError } from "./Cache.ts"
import * as AptState from "./internal/aptState.ts"
import { lines, runner } from "./internal/subprocess.ts"
import type { Progress } from "./Progress.ts"

/**
 * No Debian mirror in the machine's apt configuration, or it doesn't answer.
 *
 * @since 0.1.0
 * @category errors
 */
export class MirrorUnavailable extends Data.TaggedError("MirrorUnavailable")<{
  readonly operation: string
  readonly detail: string
}> {
  override get message() {
    return `Debian mirror: ${this.operation}: ${this.detail}; check the machine's apt sources (apt-get update must work)`
  }
}

/**
 * None of the suites holds a kernel source package that would do.
 *
 * @since 0.1.0
 * @category errors
 */
export class KernelSourceNotFound extends Data.TaggedError("KernelSourceNotFound")<{
  readonly wanted: string
  readonly suites: ReadonlyArray<string>
}> {
  override get message() {
    return `no linux-source package for ${this.wanted} in ${this.suites.join(", ")}; bring a kernel with LIVEUPDATE_KERNEL=bzImage`
  }
}

/**
 * A package at a version, and where it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface PackageVersion {
  readonly name: string
  readonly version: string
  readonly suite: string
}

/**
 * Which kernel sources to look for: `pinned` wherever it is, else the newest of `series`, else the newest of `major`.
 *
 * @since 0.1.0
 * @category models
 */
export interface KernelWish {
  readonly pinned: string
  readonly series: string
  readonly major: string
}

/**
 * @since 0.1.0
 * @category services
 */
export class DebianMirror extends Context.Tag("@liveupdate/qemu-host/DebianMirror")<
  DebianMirror,
  {
    /** As in the machine's own configuration. */
    readonly uri: Effect.Effect<string, MirrorUnavailable>
    /** The kernel source package that fits best. */
    readonly findKernelSource: (
      wish: KernelWish
    ) => Effect.Effect<PackageVersion, MirrorUnavailable | KernelSourceNotFound | CacheError, Progress>
    /** Downloads a package into a directory; gives the path of the .deb. */
    readonly download: (
      wanted: PackageVersion,
      directory: string
    ) => Effect.Effect<string, MirrorUnavailable | CacheError, Progress>
  }
>() {}

/** Where newer kernels are, the most settled first. */
const SUITES = ["trixie-backports", "testing", "unstable"] as const

/** What was found for a wish, and when (milliseconds since the epoch). */
const Answer = Schema.parseJson(
  Schema.Struct({
    pinned: Schema.String,
    at: Schema.Number,
    found: Schema.Struct({ name: Schema.String, version: Schema.String, suite: Schema.String })
  })
)

/**
 * Debian's mirror among what `apt-get indextargets` lists as `origin|label|uri` lines.
 *
 * @since 0.1.0
 * @category pure
 */
export const mirrorOf = (targets: string): Option.Option<string> =>
  Option.fromNullable(
    lines(targets)
      .map((line) => line.split("|"))
      .find(([origin, label]) => origin === "Debian" && label === "Debian")?.[2]
      ?.replace(/\/+$/, "")
  )

/**
 * Compares versions such as 7.3.4 number by number; negative if the first one is older.
 *
 * @since 0.1.0
 * @category pure
 */
export const compareVersions = (a: string, b: string): number => {
  const [x, y] = [a, b].map((version) => version.split(/[^0-9]+/).map(Number)) as [Array<number>, Array<number>]
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/**
 * Chooses from what there is.
 *
 * @since 0.1.0
 * @category pure
 */
export const chooseKernelSource = (
  available: ReadonlyArray<PackageVersion>,
  wish: KernelWish
): Option.Option<PackageVersion> => {
  const upstream = (candidate: PackageVersion) => candidate.version.replace(/[-~+].*$/, "")
  const settled = (candidate: PackageVersion) => (SUITES as ReadonlyArray<string>).indexOf(candidate.suite)
  const newest = (candidates: ReadonlyArray<PackageVersion>) =>
    [...candidates].sort((a, b) => compareVersions(upstream(b), upstream(a)) || settled(a) - settled(b))[0]
  const real = available.filter((candidate) => !/[~]rc/.test(candidate.version))
  return Option.fromNullable(
    newest(real.filter((candidate) => upstream(candidate) === wish.pinned)) ??
      newest(real.filter((candidate) => upstream(candidate).startsWith(`${wish.series}.`))) ??
      newest(real.filter((candidate) => upstream(candidate).startsWith(`${wish.major}.`)))
  )
}

/**
 * Reads `apt-cache madison`.
 *
 * @since 0.1.0
 * @category pure
 */
export const parseMadison = (output: string): ReadonlyArray<PackageVersion> =>
  lines(output).flatMap((line) => {
    const [name, version, where] = line.split("|").map((field) => field.trim())
    const suite = where?.match(/\s(\S+)\/main\s/)?.[1]
    return name === undefined || version === undefined || suite === undefined ? [] : [{ name, version, suite }]
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  DebianMirror,
  never,
  Cache | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  DebianMirror,
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const command = yield* runner
    const unavailable = (operation: string) => (error: { readonly message: string }) =>
      new MirrorUnavailable({ operation, detail: error.message })

    const uri = yield* Effect.cached(
      command(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]).pipe(
        Effect.mapError(unavailable("read the machine's apt configuration")),
        Effect.flatMap(({ stdout }) => mirrorOf(stdout)),
        Effect.catchTag("NoSuchElementException", () =>
          Effect.fail(
            new MirrorUnavailable({
              operation: "read the machine's apt configuration",
              detail: "it names no Debian mirror, or no lists have been fetched yet"
            })
          )
        )
      )
    )
    const { home, apt, ready } = yield* AptState.make({
      name: "apt",
      what: "Debian package lists",
      sources: Effect.map(uri, (mirror) => SUITES.map((suite) => `deb ${mirror} ${suite} main\n`).join("")),
      failed: unavailable
    })

    return {
      uri,
      findKernelSource: Effect.fn("DebianMirror.findKernelSource")(function* (wish: KernelWish) {
        const answer = paths.join(home, `linux-source-${wish.series}.json`)
        const known = yield* fs.readFileString(answer).pipe(Effect.flatMap(Schema.decode(Answer)), Effect.option)
        const now = yield* Clock.currentTimeMillis
        if (
          Option.isSome(known) &&
          known.value.pinned === wish.pinned &&
          now - known.value.at < AptState.LISTS_FRESH_MS
        )
          return known.value.found
        yield* ready
        const names = yield* apt("apt-cache", ["pkgnames", `linux-source-${wish.major}`]).pipe(
          Effect.mapError(unavailable("list packages"))
        )
        const candidates = lines(names.stdout).filter((name) => /^linux-source-[0-9.]+$/.test(name))
        const found =
          candidates.length === 0
            ? []
            : parseMadison(
                (yield* apt("apt-cache", ["madison", ...candidates]).pipe(
                  Effect.mapError(unavailable("list packages"))
                )).stdout
              )
        const chosen = yield* Option.match(chooseKernelSource(found, wish), {
          onNone: () => Effect.fail(new KernelSourceNotFound({ wanted: wish.pinned, suites: SUITES })),
          onSome: Effect.succeed
        })
        // Only a shortcut: asking apt takes seconds, and its lists change once a day.
        yield* Schema.encode(Answer)({ pinned: wish.pinned, at: now, found: chosen }).pipe(
          Effect.flatMap((text) => fs.writeFileString(answer, text)),
          Effect.ignore
        )
        return chosen
      }),
      download: Effect.fn("DebianMirror.download")(function* (wanted: PackageVersion, directory: string) {
        yield* ready
        yield* apt("apt-get", ["download", `${wanted.name}=${wanted.version}`], { cwd: directory }).pipe(
          Effect.mapError(unavailable(`download ${wanted.name} ${wanted.version}`))
        )
        const names = yield* fs.readDirectory(directory).pipe(Effect.mapError(unavailable("download")))
        const name = names.find((candidate) => candidate.startsWith(`${wanted.name}_`) && candidate.endsWith(".deb"))
        if (name === undefined)
          return yield* new MirrorUnavailable({ operation: "download", detail: `${wanted.name} did not arrive` })
        return paths.join(directory, name)
      })
    }
  })
)
