/**
 * What was found in kernel images before: every live update and every `plan` looks into two of them, mostly the same two, and to
 * decompress them takes up to some seconds.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as KernelImageContents from "@liveupdate/sdk/KernelImageContents"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * Nothing is known unless a layer is there.
 *
 * @since 0.1.0
 * @category services
 */
export class KnownImages extends Context.Reference<KnownImages>()("@liveupdate/agent/KnownImages", {
  defaultValue: (): KernelImageContents.Memory => KernelImageContents.forgetful
}) {}

/**
 * Where the agent of a host keeps it.
 *
 * @since 0.1.0
 * @category constants
 */
export const directory = "/var/cache/liveupdate/kernels"

/** Of two hundred kilobytes each. */
const MOST_FILES = 16

const json = Schema.parseJson(KernelImageContents.Contents)
const decode = Schema.decodeUnknownOption(json)
const encode = Schema.encodeSync(json)

const prune = (directory: string): void => {
  const files = Fs.readdirSync(directory).map((name) => Path.join(directory, name))
  const byAge = files.map((file) => ({ file, at: Fs.statSync(file).mtimeMs })).sort((one, other) => other.at - one.at)
  for (const { file } of byAge.slice(MOST_FILES)) Fs.rmSync(file)
}

/**
 * A file for each image, `DIGEST.json`. It is a cache: whatever goes wrong with it is as if nothing were known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (directory: string): KernelImageContents.Memory => {
  const fileOf = (digest: string) => Path.join(directory, `${digest}.json`)
  return {
    recall: (digest) =>
      Effect.try(() => Fs.readFileSync(fileOf(digest), "utf8")).pipe(
        Effect.map((text) => Option.getOrUndefined(decode(text))),
        Effect.orElseSucceed(() => undefined)
      ),
    remember: (digest, contents) =>
      Effect.ignore(
        Effect.try(() => {
          Fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
          const building = `${fileOf(digest)}.${process.pid}`
          try {
            Fs.writeFileSync(building, encode(contents), { mode: 0o600 })
            Fs.renameSync(building, fileOf(digest))
          } finally {
            Fs.rmSync(building, { force: true })
          }
          prune(directory)
        })
      )
  }
}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<never> = Layer.succeed(KnownImages, make(directory))
