/** An apt of our own: private lists, sources and cache in one directory. The machine's are only read. */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Cache, type CacheError } from "../Cache.ts"
import { type Progress, track } from "../Progress.ts"
import { type CommandFailed, type RunOptions, type RunResult, runner } from "./subprocess.ts"

export const LISTS_FRESH_MS = 24 * 3600 * 1000

export interface AptState<E> {
  /** Where else may be kept what was found out by these lists. */
  readonly home: string
  /** `apt-get` and its like on these lists: program, arguments. */
  readonly apt: (
    program: "apt-get" | "apt-cache",
    argv: ReadonlyArray<string>,
    options?: RunOptions
  ) => Effect.Effect<RunResult, CommandFailed>
  /** Lists there are, a day old at most if the mirror answers. */
  readonly ready: Effect.Effect<void, E | CacheError, Progress>
}

export const make = <E>(options: {
  /** The directory's name in the cache, and the lock's. */
  readonly name: string
  /** What the lists are called in progress reports. */
  readonly what: string
  /** Content of `sources.list`. */
  readonly sources: Effect.Effect<string, E>
  readonly failed: (operation: string) => (error: { readonly message: string }) => E
}): Effect.Effect<AptState<E>, never, Cache | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor> =>
  Effect.gen(function* () {
    const cache = yield* Cache
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const command = yield* runner
    const home = paths.join(cache.directory, options.name)
    const stamp = paths.join(home, "updated")
    const settings = [
      `Dir::State=${home}`,
      `Dir::State::Lists=${home}/lists`,
      `Dir::Cache=${home}/cache`,
      `Dir::Etc::SourceList=${home}/sources.list`,
      "Dir::Etc::SourceParts=/dev/null",
      "Dir::Etc::Preferences=/dev/null",
      "Dir::Etc::PreferencesParts=/dev/null",
      // A mirror frozen in time is still a mirror; its signatures are checked all the same.
      "Acquire::Check-Valid-Until=false",
      "Acquire::Languages=none",
      "Debug::NoLocking=true",
      "APT::Sandbox::User=root"
    ].flatMap((setting) => ["-o", setting])
    const apt: AptState<E>["apt"] = (program, argv, runOptions = {}) =>
      command([program, ...settings, ...argv], runOptions)

    const update = Effect.gen(function* () {
      const sources = yield* options.sources
      const fetched = Effect.gen(function* () {
        yield* fs.makeDirectory(paths.join(home, "lists", "partial"), { recursive: true })
        yield* fs.makeDirectory(paths.join(home, "cache", "archives", "partial"), { recursive: true })
        const before = yield* fs.readFileString(paths.join(home, "sources.list")).pipe(Effect.orElseSucceed(() => ""))
        const updated = Number(yield* fs.readFileString(stamp).pipe(Effect.orElseSucceed(() => "0")))
        const now = yield* Clock.currentTimeMillis
        if (before === sources && now - updated < LISTS_FRESH_MS) return
        yield* fs.writeFileString(paths.join(home, "sources.list"), sources)
        yield* track(options.what, () => apt("apt-get", ["update"])).pipe(
          // Old lists are better than none: the mirror may be out of reach today.
          Effect.catchAll((error) => (updated > 0 && before === sources ? Effect.void : Effect.fail(error)))
        )
        yield* fs.writeFileString(stamp, String(now))
      })
      yield* Effect.mapError(fetched, (error) =>
        options.failed(error._tag === "CommandFailed" ? "fetch package lists" : "prepare package lists")(error)
      )
    })
    return { home, apt, ready: Effect.scoped(Effect.zipRight(cache.lock(options.name), update)) }
  })
