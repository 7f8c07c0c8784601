import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Cache from "../src/Cache.ts"
import * as Progress from "../src/Progress.ts"

const withCache = <A, E>(
  test: (
    cache: typeof Cache.Cache.Service,
    fs: FileSystem.FileSystem,
    root: string
  ) => Effect.Effect<A, E, FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor | Progress.Progress>
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const root = yield* fs.makeTempDirectoryScoped()
    return yield* Effect.flatMap(Cache.Cache, (cache) => test(cache, fs, root)).pipe(
      Effect.provide(Cache.layerAt(root))
    )
  }).pipe(Effect.provide(Layer.merge(NodeContext.layer, Progress.layerSilent)))

const spec = <E, R>(build: (directory: string) => Effect.Effect<void, E, R>): Cache.EntrySpec<E, R> => ({
  kind: "thing",
  what: "thing",
  inputs: ["1"],
  build
})

describe("Cache", () => {
  it.scopedLive("builds an entry once", () =>
    withCache((cache, fs) =>
      Effect.gen(function* () {
        const builds = yield* Ref.make(0)
        const thing = spec((directory) =>
          Ref.update(builds, (n) => n + 1).pipe(Effect.zipRight(fs.writeFileString(`${directory}/file`, "content")))
        )
        const first = yield* cache.entry(thing)
        const second = yield* cache.entry(thing)
        assert.strictEqual(first, second)
        assert.strictEqual(yield* Ref.get(builds), 1)
        assert.strictEqual(yield* fs.readFileString(`${first}/file`), "content")
      })
    )
  )

  it.scopedLive("lets concurrent builders wait for the first", () =>
    withCache((cache, fs) =>
      Effect.gen(function* () {
        const builds = yield* Ref.make(0)
        const begun = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const thing = spec((directory) =>
          Ref.update(builds, (n) => n + 1).pipe(
            Effect.zipRight(Deferred.succeed(begun, undefined)),
            Effect.zipRight(Deferred.await(go)),
            Effect.zipRight(fs.writeFileString(`${directory}/file`, "content"))
          )
        )
        const one = yield* Effect.fork(cache.entry(thing))
        yield* Deferred.await(begun)
        const two = yield* Effect.fork(cache.entry(thing))
        yield* Deferred.succeed(go, undefined)
        assert.strictEqual(yield* Fiber.join(one), yield* Fiber.join(two))
        assert.strictEqual(yield* Ref.get(builds), 1)
      })
    )
  )

  it.scopedLive("leaves nothing of an interrupted or failed build, and builds again", () =>
    withCache((cache, fs, root) =>
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void>()
        const stuck = yield* Effect.fork(
          cache.entry(
            spec((directory) =>
              fs
                .writeFileString(`${directory}/half`, "")
                .pipe(Effect.zipRight(Deferred.succeed(begun, undefined)), Effect.zipRight(Effect.never))
            )
          )
        )
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(stuck)
        assert.deepStrictEqual(
          (yield* fs.readDirectory(`${root}/thing`)).filter((name) => !name.endsWith(".lock")),
          []
        )
        const failed = yield* Effect.exit(cache.entry(spec(() => Effect.fail("no"))))
        assert.deepStrictEqual(failed, Exit.fail("no"))
        const entry = yield* cache.entry(spec((directory) => fs.writeFileString(`${directory}/whole`, "")))
        assert.deepStrictEqual(yield* fs.readDirectory(entry), ["whole"])
      })
    )
  )

  it.scopedLive("clears away what a killed builder left", () =>
    withCache((cache, fs, root) =>
      Effect.gen(function* () {
        const left = `${root}/thing/${Cache.keyOf(["1"])}.building`
        yield* fs.makeDirectory(left, { recursive: true })
        yield* fs.writeFileString(`${left}/half`, "")
        const entry = yield* cache.entry(spec((directory) => fs.writeFileString(`${directory}/whole`, "")))
        assert.deepStrictEqual(yield* fs.readDirectory(entry), ["whole"])
        assert.isFalse(yield* fs.exists(left))
      })
    )
  )

  it("keeps lists of inputs apart", () => {
    assert.notStrictEqual(Cache.keyOf(["ab", "c"]), Cache.keyOf(["a", "bc"]))
    assert.notStrictEqual(Cache.keyOf([]), Cache.keyOf([""]))
  })

  it.scopedLive("prunes what was used longest ago", () =>
    withCache((cache, fs) =>
      Effect.gen(function* () {
        const entries = yield* Effect.forEach(["1", "2", "3"], (input) =>
          cache.entry({ ...spec(() => Effect.void), inputs: [input] })
        )
        for (const [index, entry] of entries.entries()) yield* fs.utimes(entry, 1000 + index, 1000 + index)
        yield* cache.prune("thing", 1)
        assert.deepStrictEqual(yield* Effect.forEach(entries, (entry) => fs.exists(entry)), [false, false, true])
      })
    )
  )
})
