/**
 * The root file system: Debian testing without anything of ours that changes often, as an ext4 image.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Cache, CacheError, fingerprint } from "./Cache.ts"
import { DebianMirror, type MirrorUnavailable } from "./DebianMirror.ts"
import { type CommandFailed, runner } from "./internal/subprocess.ts"
import type { Progress } from "./Progress.ts"
import { Resources } from "./Resources.ts"

/**
 * `rootfs.json`: what is inside.
 *
 * @since 0.1.0
 * @category models
 */
export class RootFsSpec extends Schema.Class<RootFsSpec>("RootFsSpec")({
  suite: Schema.NonEmptyString,
  packages: Schema.NonEmptyArray(Schema.NonEmptyString),
  /** Units that only cost time at start. */
  masked: Schema.Array(Schema.NonEmptyString)
}) {}

/**
 * @since 0.1.0
 * @category services
 */
export class RootFs extends Context.Tag("@liveupdate/qemu-host/RootFs")<
  RootFs,
  {
    /** Path of the base image, a sparse raw file. */
    readonly image: Effect.Effect<string, CacheError | MirrorUnavailable | CommandFailed, Progress>
  }
>() {}

/** Size of the file system; the file is sparse. */
const IMAGE_SIZE = "2560M"

/** An id of its own would make systemd go through its first-boot steps; all hosts share this one ("liveupdate host"). */
const MACHINE_ID = "6c69766575706461746500686f737401"

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  RootFs,
  never,
  Cache | DebianMirror | Resources | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  RootFs,
  Effect.gen(function* () {
    const cache = yield* Cache
    const mirror = yield* DebianMirror
    const resources = yield* Resources
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const platform = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
    const command = yield* runner

    const image = Effect.gen(function* () {
      const specPath = paths.join(resources.directory, "rootfs.json")
      const broken = (error: { readonly message: string }) =>
        new CacheError({ operation: "read", path: specPath, detail: error.message })
      const spec = yield* fs
        .readFileString(specPath)
        .pipe(Effect.flatMap(Schema.decode(Schema.parseJson(RootFsSpec))), Effect.mapError(broken))
      const overlay = paths.join(resources.directory, "rootfs")
      const debian = cache.entry({
        kind: "debian",
        what: `Debian ${spec.suite} packages`,
        inputs: ["1", spec.suite, ...spec.packages],
        build: (directory, update) =>
          Effect.gen(function* () {
            const uri = yield* mirror.uri
            yield* command(
              [
                "mmdebstrap",
                '--aptopt=Acquire::Check-Valid-Until "false"',
                // Nobody reads Debian's manuals in there.
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
                "--variant=minbase",
                `--include=${spec.packages.join(",")}`,
                spec.suite,
                paths.join(directory, "root.tar"),
                uri
              ],
              {
                both: true,
                onLine: (line) => (line.startsWith("I: ") ? update({ detail: line.slice(3, 80) }) : Effect.void)
              }
            )
          })
      })
      const inputs = [
        "3",
        spec.suite,
        ...spec.packages,
        "masked",
        ...spec.masked,
        yield* Effect.provide(fingerprint(overlay), platform),
        IMAGE_SIZE
      ]
      const entry = yield* cache.entry({
        kind: "base",
        what: "base image",
        inputs,
        build: (directory, update) =>
          Effect.gen(function* () {
            const tar = paths.join(yield* debian, "root.tar")
            yield* update({ detail: "making the file system" })
            // Owners in the image are those in the archive: as root directly, else in a user namespace.
            const uid = (yield* command(["id", "-u"])).stdout.trim()
            const namespace = uid === "0" ? [] : ["unshare", "--map-root-user", "--map-auto", "--"]
            const units = "etc/systemd/system"
            const script = `set -e
              mkdir tree
              tar -x -f "$1" -C tree --numeric-owner --exclude='./dev/*'
              cp -r --no-preserve=ownership "$2/." tree/
              echo ${MACHINE_ID} > tree/etc/machine-id
              mkdir -p tree/${units}/basic.target.wants tree/usr/lib/liveupdate-host tree/var/lib/liveupdate-demo tree/boot
              # What is installed later is installed whole.
              rm tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap
              # What is written into it later must not make it everybody's.
              mkdir -m 0700 tree/var/lib/liveupdate
              ln -sf ../liveupdate-channeld.service tree/${units}/basic.target.wants/
              ln -sf /usr/lib/systemd/system/multi-user.target tree/${units}/default.target
              shift 2
              for unit; do ln -sf /dev/null "tree/${units}/$unit"; done
              rm -rf tree/var/cache/apt/* tree/var/lib/apt/lists/*
              truncate -s ${IMAGE_SIZE} root.img
              mke2fs -q -t ext4 -F -L liveupdate-host -m 0 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0 -d tree root.img
              rm -rf tree`
            yield* command(
              [...namespace, "sh", "-c", script, "sh", tar, overlay, ...spec.masked] as [string, ...Array<string>],
              {
                cwd: directory
              }
            )
          })
      })
      yield* cache.prune("base", 2)
      return paths.join(entry, "root.img")
    })
    return { image: Effect.withSpan(image, "RootFs.image") }
  })
)
