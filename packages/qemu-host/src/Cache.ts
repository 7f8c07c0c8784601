/**
 * What was built once: entries named by the content of what they were made from, under `$XDG_CACHE_HOME/liveupdate`.
 *
 * An entry is a directory that appears by one rename when it is whole, so it is either there or not. Builders of the same
 * entry wait for one another; what a killed one left behind is removed by the next.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import type * as Scope from "effect/Scope"
import * as FileLock from "./internal/fileLock.ts"
import { Progress, track, type Update } from "./Progress.ts"

/**
 * The cache's own trouble: no home directory, no space, no permission.
 *
 * @since 0.1.0
 * @category errors
 */
export class CacheError extends Data.TaggedError("CacheError")<{
  readonly operation: string
  readonly path: string
  readonly detail: string
}> {
  override get message() {
    return `cache: cannot ${this.operation} ${this.path}: ${this.detail}; set XDG_CACHE_HOME to a directory with space that is yours`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface EntrySpec<E, R> {
  /** Directory of entries of this sort; one word. */
  readonly kind: string
  /** Everything the result depends on. */
  readonly inputs: ReadonlyArray<string>
  /** What the build is called in progress reports. */
  readonly what: string
  /** Fills the directory. Nothing else may be written; it is thrown away unless this succeeds. */
  readonly build: (directory: string, update: (update: Update) => Effect.Effect<void>) => Effect.Effect<void, E, R>
}

/**
 * @since 0.1.0
 * @category services
 */
export class Cache extends Context.Tag("@liveupdate/qemu-host/Cache")<
  Cache,
  {
    /** Absolute path of the cache. */
    readonly directory: string
    /** The entry's directory, built if it isn't there. */
    readonly entry: <E, R>(spec: EntrySpec<E, R>) => Effect.Effect<string, E | CacheError, R>
    /** Whether an entry is there already. */
    readonly has: (kind: string, inputs: ReadonlyArray<string>) => Effect.Effect<boolean>
    /** Removes all but the `keep` entries of a kind that were used last. */
    readonly prune: (kind: string, keep: number) => Effect.Effect<void, CacheError>
    /** Holds a lock of the cache by name for a scope. */
    readonly lock: (name: string, waiting?: Effect.Effect<void>) => Effect.Effect<void, CacheError, Scope.Scope>
  }
>() {}

/**
 * The name of an entry: 24 hex digits.
 *
 * @since 0.1.0
 * @category keys
 */
export const keyOf = (inputs: ReadonlyArray<string>): string => {
  const hash = createHash("sha256")
  // Lengths in front, so that no two different lists flow together.
  for (const input of inputs) hash.update(`${Buffer.byteLength(input)}:`).update(input)
  return hash.digest("hex").slice(0, 24)
}

/**
 * The content of a file or directory tree, with names and modes, as one input of a key.
 *
 * @since 0.1.0
 * @category keys
 */
export const fingerprint = (path: string): Effect.Effect<string, CacheError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const hash = createHash("sha256")
    const visit = (at: string, name: string): Effect.Effect<void, CacheError> =>
      Effect.gen(function* () {
        const info = yield* fs.stat(at)
        hash.update(`${name}\0${info.type}\0${(info.mode & 0o777).toString(8)}\0`)
        if (info.type === "Directory") {
          for (const child of [...(yield* fs.readDirectory(at))].sort())
            yield* visit(paths.join(at, child), `${name}/${child}`)
        } else {
          hash.update(`${info.size}\0`)
          hash.update(yield* fs.readFile(at))
        }
      }).pipe(Effect.catchAll((error) => cacheError("read", at)(error)))
    yield* visit(path, "")
    return hash.digest("hex")
  })

const cacheError =
  (operation: string, path: string) =>
  (error: { readonly message: string }): CacheError =>
    error instanceof CacheError ? error : new CacheError({ operation, path, detail: error.message })

/**
 * `$XDG_CACHE_HOME/liveupdate`, else `~/.cache/liveupdate`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  Cache,
  CacheError,
  FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor | Progress
> = Layer.unwrapEffect(
  Effect.gen(function* () {
    const paths = yield* Path.Path
    const directory = yield* Config.nonEmptyString("XDG_CACHE_HOME").pipe(
      Config.orElse(() => Config.nonEmptyString("HOME").pipe(Config.map((home) => paths.join(home, ".cache")))),
      Effect.mapError(
        () => new CacheError({ operation: "find", path: "~/.cache", detail: "neither XDG_CACHE_HOME nor HOME is set" })
      )
    )
    return layerAt(paths.resolve(directory, "liveupdate"))
  })
)

/**
 * A cache in a directory of the caller's choice.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerAt = (
  directory: string
): Layer.Layer<Cache, CacheError, FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor | Progress> =>
  Layer.effect(
    Cache,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const paths = yield* Path.Path
      const executor = yield* CommandExecutor.CommandExecutor
      const progress = yield* Progress
      yield* fs.makeDirectory(directory, { recursive: true }).pipe(Effect.mapError(cacheError("create", directory)))

      const lockAt = (path: string, waiting?: Effect.Effect<void>) =>
        FileLock.lock(path, waiting).pipe(
          Effect.mapError(cacheError("lock", path)),
          Effect.provideService(CommandExecutor.CommandExecutor, executor)
        )

      // Every file and directory reaches the disk before the rename makes them visible.
      const sync = (path: string): Effect.Effect<void, CacheError> =>
        Effect.gen(function* () {
          const info = yield* fs.stat(path)
          if (info.type === "Directory")
            for (const child of yield* fs.readDirectory(path)) yield* sync(paths.join(path, child))
          if (info.type === "Directory" || info.type === "File")
            yield* Effect.scoped(Effect.flatMap(fs.open(path, { flag: "r" }), (file) => file.sync))
        }).pipe(Effect.mapError(cacheError("write", path)))

      const entry = Effect.fn("Cache.entry")(function* <E, R>(spec: EntrySpec<E, R>) {
        const home = paths.join(directory, spec.kind)
        const key = keyOf(spec.inputs)
        const target = paths.join(home, key)
        const exists = fs.exists(target).pipe(Effect.mapError(cacheError("look for", target)))
        const used = Effect.flatMap(Effect.clock, (clock) => clock.currentTimeMillis).pipe(
          Effect.flatMap((now) => fs.utimes(target, now / 1000, now / 1000)),
          Effect.ignore
        )
        if (yield* exists) return yield* Effect.as(used, target)
        yield* fs.makeDirectory(home, { recursive: true }).pipe(Effect.mapError(cacheError("create", home)))
        yield* Effect.scoped(
          Effect.gen(function* () {
            const lockPath = `${target}.lock`
            const announce = progress.report({
              what: spec.what,
              state: "running",
              detail: "somebody else is building it; waiting",
              elapsed: 0
            })
            yield* lockAt(lockPath, announce)
            if (yield* exists) return
            const leftOver = yield* fs.readDirectory(home).pipe(Effect.mapError(cacheError("read", home)))
            for (const name of leftOver)
              if (name.startsWith(`${key}.building`))
                yield* fs
                  .remove(paths.join(home, name), { recursive: true, force: true })
                  .pipe(Effect.mapError(cacheError("clean up", name)))
            const work = yield* Effect.acquireRelease(
              Effect.suspend(() => {
                const path = `${target}.building`
                return fs
                  .makeDirectory(path, { mode: 0o755 })
                  .pipe(Effect.mapError(cacheError("create", path)), Effect.as(path))
              }),
              (path) => Effect.ignore(fs.remove(path, { recursive: true, force: true }))
            )
            yield* track(spec.what, (update) => spec.build(work, update)).pipe(
              Effect.provideService(Progress, progress)
            )
            yield* sync(work)
            yield* fs.rename(work, target).pipe(Effect.mapError(cacheError("finish", target)))
            yield* Effect.scoped(Effect.flatMap(fs.open(home, { flag: "r" }), (file) => file.sync)).pipe(
              Effect.mapError(cacheError("write", home))
            )
          })
        )
        return target
      })

      return {
        directory,
        entry: entry as <E, R>(spec: EntrySpec<E, R>) => Effect.Effect<string, E | CacheError, R>,
        has: (kind, inputs) =>
          fs.exists(paths.join(directory, kind, keyOf(inputs))).pipe(Effect.orElseSucceed(() => false)),
        prune: Effect.fn("Cache.prune")(function* (kind: string, keep: number) {
          const home = paths.join(directory, kind)
          const names = yield* fs.readDirectory(home).pipe(Effect.orElseSucceed(() => []))
          const entries = yield* Effect.forEach(
            names.filter((name) => /^[0-9a-f]{24}$/.test(name)),
            (name) =>
              fs.stat(paths.join(home, name)).pipe(
                Effect.map((info) => ({
                  name,
                  time: Option.match(info.mtime, { onNone: () => 0, onSome: (t) => t.getTime() })
                })),
                Effect.orElseSucceed(() => ({ name, time: 0 }))
              )
          )
          const newestFirst = Arr.sort(
            entries,
            Order.reverse(Order.mapInput(Order.number, (entry: { readonly time: number }) => entry.time))
          )
          for (const { name } of newestFirst.slice(keep))
            yield* fs
              .remove(paths.join(home, name), { recursive: true, force: true })
              .pipe(Effect.mapError(cacheError("remove", name)))
        }),
        lock: (name, waiting) => lockAt(paths.join(directory, `${name}.lock`), waiting)
      }
    })
  )
