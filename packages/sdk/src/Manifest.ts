/**
 * What travels with the memory: a small sealed memfd at a fixed token of every session, that says what the other tokens
 * are, so that the next kernel's process needs nothing from a disk.
 *
 * Layout 2, little-endian:
 *
 * | offset | bytes | what                                                                                     |
 * | ------ | ----- | ---------------------------------------------------------------------------------------- |
 * | 0      | 8     | `LIVEUPD\0`                                                                              |
 * | 8      | 4     | u32 version of the layout: 2                                                             |
 * | 12     | 4     | u32 the oldest version that a reader has to know to understand it: 2                     |
 * | 16     | 4     | u32 length of the header: 32                                                             |
 * | 20     | 4     | u32 length of the description                                                            |
 * | 24     | 4     | u32 length of the caller's data                                                          |
 * | 28     | 4     | u32 CRC-32 of all bytes before and after this field                                      |
 * | 32     |       | the description: `{"kernel","createdAt","files":[{"token","kind","name","size","dependsOn"}]}` |
 * | …      |       | the caller's data                                                                        |
 *
 * Both texts are UTF-8 and JSON exactly as `JSON.stringify` writes it; tokens are decimal digits in strings. A file may depend
 * on those before it. Nothing follows: the lengths add up to the file's size.
 *
 * A newer layout is read if its oldest reader is no newer than 2: its header may be longer, and fields of its description that
 * aren't known here are ignored; otherwise it is `ManifestInvalid` with `needs`. Layout 1, which knew no files, is read: its
 * payload was the caller's data.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { ManifestInvalid } from "./errors/ManifestInvalid.ts"
import type { Kind } from "./Handle.ts"
import * as Description from "./internal/manifest/description.ts"
import * as json from "./internal/manifest/json.ts"
import * as Layout from "./internal/manifest/layout.ts"
import * as KernelRelease from "./KernelRelease.ts"
import type { LiveUpdateError } from "./LiveUpdateError.ts"
import * as Memfd from "./Memfd.ts"
import type { Token } from "./Token.ts"

export { ManifestInvalid } from "./errors/ManifestInvalid.ts"

/**
 * The most that the description and the caller's data may hold together, in bytes.
 *
 * @since 0.1.0
 * @category constants
 */
export const MAX_BYTES: number = Layout.MAX_BYTES

/**
 * The most that the caller's data may hold, in bytes of JSON. What is bigger is a file: preserve it as one.
 *
 * @since 0.1.0
 * @category constants
 */
export const MAX_DATA_BYTES: number = Layout.MAX_DATA_BYTES

/**
 * The most files that a manifest describes.
 *
 * @since 0.1.0
 * @category constants
 */
export const MAX_FILES: number = Description.MAX_FILES

/**
 * How deep objects and lists of the caller's data may be nested.
 *
 * @since 0.1.0
 * @category constants
 */
export const MAX_DEPTH: number = json.MAX_DEPTH

/**
 * A preserved file of the session.
 *
 * @since 0.1.0
 * @category models
 */
export interface File {
  readonly token: Token
  readonly kind: Kind
  /** See `Token.isName`; each is there once. */
  readonly name: string
  /** Bytes, of kinds that have a size. */
  readonly size?: number
  /** Names of files before this one that it needs. */
  readonly dependsOn: ReadonlyArray<string>
}

/**
 * What a manifest says: which files are at which tokens, and the caller's own data.
 *
 * @since 0.1.0
 * @category models
 */
export interface Manifest<A> {
  /** Release of the kernel under which it was written; layout 1 doesn't say. */
  readonly kernel?: string
  /** Milliseconds since 1970; layout 1 doesn't say. */
  readonly createdAt?: number
  /** In the order in which they were preserved; none in layout 1. */
  readonly files: ReadonlyArray<File>
  readonly data: A
}

/** What isn't known here might matter, and nothing can be undone after the jump: a caller that wants it ignored says so in the schema. */
const strict = { onExcessProperty: "error", propertyOrder: "original" } as const

const DETAIL_MAX = 300

const dataInvalid = (error: unknown): ManifestInvalid => {
  const detail = error instanceof Error ? error.message : String(error)
  return new ManifestInvalid({ reason: "data", where: "data", detail: detail.slice(0, DETAIL_MAX) })
}

/** A caller's schema may throw: when it is asked to be synchronous and isn't, or when its data goes deeper than the stack. */
const guarded = <A, E>(run: () => Either.Either<A, E>): Either.Either<A, ManifestInvalid> =>
  Either.flatMap(Either.try({ try: run, catch: dataInvalid }), (result) => Either.mapLeft(result, dataInvalid))

const decodeData = <A, I>(schema: Schema.Schema<A, I>, bytes: Buffer): Either.Either<A, ManifestInvalid> =>
  Either.flatMap(json.parse("data", bytes), (value) => guarded(() => Schema.decodeUnknownEither(schema, strict)(value)))

const encodeData = <A, I>(schema: Schema.Schema<A, I>, data: A): Either.Either<Buffer, ManifestInvalid> =>
  guarded(() =>
    Either.map(Schema.encodeEither(schema, strict)(data), (value) =>
      // A value that JSON has no word for becomes an empty text, which can't be read back and is refused for that.
      Buffer.from(JSON.stringify(value) ?? "", "utf8")
    )
  )

/**
 * Encodes a manifest. What could not be decoded again is refused here, where that still can be mended: over a limit
 * (`too-large`, `too-deep`), a file that can't be described (`field`), data that doesn't come back from JSON (`data`, `syntax`).
 *
 * @since 0.1.0
 * @category codecs
 */
export const encode = <A, I>(
  schema: Schema.Schema<A, I>,
  manifest: Required<Manifest<NoInfer<A>>>
): Either.Either<Buffer, ManifestInvalid> =>
  Either.gen(function* () {
    const description = yield* Description.encode(manifest)
    const data = yield* encodeData(schema, manifest.data)
    const bytes = yield* Layout.join(description, data)
    yield* decodeData(schema, data)
    return bytes
  })

/**
 * Decodes what `encode` made, from this version or another (see above). Anything else, however damaged or hostile, is a
 * `ManifestInvalid`: sizes are checked before anything is parsed, the checksum before anything is believed.
 *
 * Properties of the data that the schema doesn't know are refused, unless it says otherwise
 * (`schema.annotations({ parseOptions: { onExcessProperty: "ignore" } })`).
 *
 * @since 0.1.0
 * @category codecs
 */
export const decode = <A, I>(schema: Schema.Schema<A, I>, bytes: Buffer): Either.Either<Manifest<A>, ManifestInvalid> =>
  Either.gen(function* () {
    const sections = yield* Layout.split(bytes)
    const description =
      sections.description === undefined
        ? { files: [] }
        : yield* Description.decode(sections.version, sections.description)
    return { ...description, data: yield* decodeData(schema, sections.data) }
  })

/**
 * Writes a manifest into a new memfd and seals it; preserve it at `Token.manifest`. It says itself which kernel runs and what
 * time it is.
 *
 * Fails with `ManifestInvalid`, as `encode` does, and with `LimitReached`.
 *
 * @since 0.1.0
 * @category operations
 */
export const write = Effect.fn("Manifest.write")(function* <A, I>(
  schema: Schema.Schema<A, I>,
  manifest: { readonly files: ReadonlyArray<File>; readonly data: NoInfer<A> }
): Effect.fn.Return<Memfd.Memfd, LiveUpdateError | ManifestInvalid, Scope.Scope> {
  const createdAt = yield* Clock.currentTimeMillis
  const bytes = yield* encode(schema, { ...manifest, kernel: yield* KernelRelease.running, createdAt })
  const memfd = yield* Memfd.create({ name: "liveupdate-manifest", size: bytes.length })
  yield* Memfd.write(memfd, 0, bytes)
  yield* Memfd.addSeals(memfd, "shrink", "grow", "write", "seal")
  return memfd
})

/**
 * Reads the manifest that a session brought along. Fails with `ManifestInvalid`.
 *
 * @since 0.1.0
 * @category operations
 */
export const read = Effect.fn("Manifest.read")(function* <A, I>(
  schema: Schema.Schema<A, I>,
  memfd: Memfd.Memfd | Memfd.Managed
): Effect.fn.Return<Manifest<A>, LiveUpdateError | ManifestInvalid> {
  const size = yield* Memfd.size(memfd)
  yield* Layout.checkSize(size)
  return yield* decode(schema, yield* Memfd.read(memfd, 0, size))
})
