/**
 * The C programs of the host and of the demo's guest, compiled statically with the machine's gcc.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Cache, CacheError } from "./Cache.ts"
import { archive } from "./Cpio.ts"
import { type CommandFailed, compilerVersion, runner } from "./internal/subprocess.ts"
import type { Progress } from "./Progress.ts"
import { Resources } from "./Resources.ts"

/**
 * Paths outside.
 *
 * @since 0.1.0
 * @category models
 */
export interface Programs {
  /** Inner end of the command channel. */
  readonly channeld: string
  /** First process of the host. */
  readonly init: string
  /** Initramfs of the demo's guest: a cpio archive with one static program. */
  readonly guestInitramfs: string
}

/**
 * @since 0.1.0
 * @category services
 */
export class HostPrograms extends Context.Tag("@liveupdate/qemu-host/HostPrograms")<
  HostPrograms,
  {
    /** Compiled, or taken from the cache. */
    readonly programs: Effect.Effect<Programs, CacheError | CommandFailed, Progress>
  }
>() {}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  HostPrograms,
  never,
  Cache | Resources | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  HostPrograms,
  Effect.gen(function* () {
    const cache = yield* Cache
    const resources = yield* Resources
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const command = yield* runner
    const sources = {
      channeld: ["host/channeld.c"],
      init: ["host/init.c", "host/keeper.c", "host/resume.c"],
      "guest-init": ["guest/init.c"]
    } as const
    const headers = ["host/keeper.h", "host/luo.h", "host/resume.h"]

    const programs = Effect.gen(function* () {
      const contents = yield* Effect.forEach([...Object.values(sources).flat(), ...headers], (source) => {
        const path = paths.join(resources.directory, source)
        return fs
          .readFileString(path)
          .pipe(Effect.mapError((error) => new CacheError({ operation: "read", path, detail: error.message })))
      })
      const compiler = yield* compilerVersion(command)
      const entry = yield* cache.entry({
        kind: "programs",
        what: "C programs of the host",
        inputs: ["1", compiler, ...contents],
        build: (directory) =>
          Effect.gen(function* () {
            for (const [name, files] of Object.entries(sources))
              yield* command([
                "gcc",
                "-std=gnu11",
                "-O2",
                "-static",
                "-s",
                "-Wall",
                "-o",
                paths.join(directory, name),
                ...files.map((file) => paths.join(resources.directory, file))
              ])
            const data = yield* fs.readFile(paths.join(directory, "guest-init"))
            yield* fs.writeFile(paths.join(directory, "guest.cpio"), archive([{ path: "init", mode: 0o100755, data }]))
          }).pipe(
            Effect.catchTags({
              SystemError: (error) => new CacheError({ operation: "write", path: directory, detail: error.message }),
              BadArgument: (error) => new CacheError({ operation: "write", path: directory, detail: error.message })
            })
          )
      })
      return {
        channeld: paths.join(entry, "channeld"),
        init: paths.join(entry, "init"),
        guestInitramfs: paths.join(entry, "guest.cpio")
      }
    })
    return { programs: Effect.withSpan(programs, "HostPrograms.programs") }
  })
)
