/**
 * The headers of the host's kernel, as programs are compiled against them: what tests hold struct layouts and request numbers
 * to. The machine's own are those of its own, older kernel.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Cache, type CacheError } from "./Cache.ts"
import { DebianMirror, type KernelSourceNotFound, type MirrorUnavailable } from "./DebianMirror.ts"
import { type CommandFailed, runner } from "./internal/subprocess.ts"
import { current } from "./KernelBuild.ts"
import type { Progress } from "./Progress.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Headers {
  /** For the compiler, in this order: `-I` of each. */
  readonly directories: readonly [string, ...Array<string>]
  /** Where they came from: package, version, suite. */
  readonly origin: string
}

/**
 * @since 0.1.0
 * @category errors
 */
export type HeadersError = CacheError | MirrorUnavailable | KernelSourceNotFound | CommandFailed

/**
 * @since 0.1.0
 * @category services
 */
export class KernelHeaders extends Context.Tag("@liveupdate/qemu-host/KernelHeaders")<
  KernelHeaders,
  {
    /**
     * Debian's `linux-libc-dev` of the same version as the source that the host's kernel is built from (x86-64), fetched once.
     */
    readonly headers: Effect.Effect<Headers, HeadersError, Progress>
  }
>() {}

const GENERIC = "usr/include"
const MACHINE = "usr/include/x86_64-linux-gnu"

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  KernelHeaders,
  never,
  Cache | DebianMirror | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  KernelHeaders,
  Effect.gen(function* () {
    const cache = yield* Cache
    const mirror = yield* DebianMirror
    const paths = yield* Path.Path
    const command = yield* runner

    const headers = Effect.gen(function* () {
      const source = yield* mirror.findKernelSource(current)
      // Built from the same source package, so it has the same version and lies in the same suite.
      const wanted = { ...source, name: "linux-libc-dev" }
      const entry = yield* cache.entry({
        kind: "headers",
        what: `kernel headers ${wanted.version}`,
        inputs: ["1", wanted.name, wanted.version],
        build: (directory, update) =>
          Effect.gen(function* () {
            yield* update({ detail: `fetching ${wanted.name} from ${wanted.suite}` })
            const deb = yield* mirror.download(wanted, directory)
            const whole = paths.join(directory, "whole")
            yield* command(["dpkg-deb", "-x", deb, whole])
            yield* command(["mkdir", "-p", paths.join(directory, GENERIC)])
            // The package holds other machines, too; links lead out of what is kept.
            for (const part of [MACHINE, ...["linux", "asm-generic"].map((name) => `${GENERIC}/${name}`)])
              yield* command(["cp", "-rL", paths.join(whole, part), paths.join(directory, part)])
            yield* command(["rm", "-rf", whole, deb])
          })
      })
      return {
        directories: [paths.join(entry, GENERIC), paths.join(entry, MACHINE)],
        origin: `${wanted.name} ${wanted.version} (${wanted.suite})`
      } as const
    }).pipe(Effect.withSpan("KernelHeaders.headers"))
    return { headers }
  })
)
