/**
 * What travels with the memory: a small sealed memfd at a fixed token of every session, that says what the other tokens
 * are, so that the next kernel's process needs nothing from a disk.
 *
 * Layout, little-endian: 8 bytes magic `LIVEUPD\0`; u32 version of this layout (1); u32 reserved (0); u64 payload length in
 * bytes; u32 CRC-32 of the payload; u32 reserved (0); the payload, JSON in UTF-8.
 *
 * @since 0.1.0
 */
import { crc32 } from "node:zlib"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { LiveUpdateError } from "./LiveUpdateError.ts"
import * as Memfd from "./Memfd.ts"

const MAGIC = Buffer.from("LIVEUPD\0", "latin1")
const VERSION = 1
const HEADER_BYTES = 32

/**
 * The most that a manifest may hold, in bytes of payload.
 *
 * @since 0.1.0
 * @category constants
 */
export const MAX_BYTES = 1024 * 1024

/**
 * The bytes are no manifest that this version reads.
 *
 * @since 0.1.0
 * @category errors
 */
export class ManifestInvalid extends Data.TaggedError("ManifestInvalid")<{
  readonly reason: "magic" | "version" | "truncated" | "too-large" | "checksum" | "payload"
  readonly detail: string
}> {
  override get message(): string {
    return `The manifest can't be read (${this.reason}): ${this.detail}. The session's files are untouched; keep it parked and read it with the version that wrote it.`
  }
}

/**
 * Encodes a payload with its header. Fails with `ManifestInvalid` when it is larger than `MAX_BYTES`.
 *
 * @since 0.1.0
 * @category codecs
 */
export const encode = <A, I>(schema: Schema.Schema<A, I>, value: A): Either.Either<Buffer, ManifestInvalid> => {
  const payload = Buffer.from(JSON.stringify(Schema.encodeSync(schema)(value)), "utf8")
  if (payload.length > MAX_BYTES)
    return Either.left(
      new ManifestInvalid({ reason: "too-large", detail: `${payload.length} bytes, at most ${MAX_BYTES} fit` })
    )
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32LE(VERSION, 8)
  header.writeBigUInt64LE(BigInt(payload.length), 16)
  header.writeUInt32LE(crc32(payload), 24)
  return Either.right(Buffer.concat([header, payload]))
}

const invalid = (reason: ManifestInvalid["reason"], detail: string) =>
  Either.left(new ManifestInvalid({ reason, detail }))

const parsePayload = (bytes: Buffer): Either.Either<unknown, ManifestInvalid> => {
  if (bytes.length < HEADER_BYTES) return invalid("truncated", `${bytes.length} bytes are shorter than the header`)
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return invalid("magic", "it does not begin as a manifest")
  const version = bytes.readUInt32LE(8)
  if (version !== VERSION) return invalid("version", `layout ${version}, this program reads ${VERSION}`)
  if (bytes.readUInt32LE(12) !== 0 || bytes.readUInt32LE(28) !== 0)
    return invalid("payload", "reserved header fields are set")
  const length = bytes.readBigUInt64LE(16)
  if (length > BigInt(MAX_BYTES)) return invalid("too-large", `${length} bytes, at most ${MAX_BYTES} are read`)
  const payload = bytes.subarray(HEADER_BYTES)
  if (BigInt(payload.length) !== length)
    return invalid("truncated", `the header promises ${length} bytes, ${payload.length} are there`)
  if (crc32(payload) !== bytes.readUInt32LE(24)) return invalid("checksum", "the payload's CRC-32 differs")
  return Either.try({
    try: (): unknown => JSON.parse(payload.toString("utf8")),
    catch: () => new ManifestInvalid({ reason: "payload", detail: "it is not JSON" })
  })
}

/**
 * Decodes what `encode` made. Anything else, however damaged, is a `ManifestInvalid`.
 *
 * @since 0.1.0
 * @category codecs
 */
export const decode = <A, I>(schema: Schema.Schema<A, I>, bytes: Buffer): Either.Either<A, ManifestInvalid> =>
  Either.flatMap(parsePayload(bytes), (payload) =>
    Either.mapLeft(
      Schema.decodeUnknownEither(schema)(payload),
      (error) => new ManifestInvalid({ reason: "payload", detail: error.message })
    )
  )

/**
 * Writes a manifest into a new memfd and seals it; preserve it at `Token.manifest`.
 *
 * @since 0.1.0
 * @category operations
 */
export const write = Effect.fn("Manifest.write")(function* <A, I>(
  schema: Schema.Schema<A, I>,
  value: A
): Effect.fn.Return<Memfd.Memfd, LiveUpdateError | ManifestInvalid, Scope.Scope> {
  const bytes = yield* encode(schema, value)
  const memfd = yield* Memfd.create({ name: "liveupdate-manifest", size: bytes.length })
  yield* Memfd.write(memfd, 0, bytes)
  yield* Memfd.addSeals(memfd, "shrink", "grow", "write", "seal")
  return memfd
})

/**
 * Reads the manifest that a session brought along.
 *
 * @since 0.1.0
 * @category operations
 */
export const read = Effect.fn("Manifest.read")(function* <A, I>(
  schema: Schema.Schema<A, I>,
  memfd: Memfd.Memfd | Memfd.Managed
): Effect.fn.Return<A, LiveUpdateError | ManifestInvalid> {
  const size = yield* Memfd.size(memfd)
  if (size > HEADER_BYTES + MAX_BYTES)
    return yield* new ManifestInvalid({ reason: "too-large", detail: `${size} bytes of file` })
  const bytes = yield* Memfd.read(memfd, 0, size)
  return yield* decode(schema, bytes)
})
