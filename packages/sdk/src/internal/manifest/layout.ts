/**
 * The bytes of a manifest: a header, the description, the caller's data. `Manifest.ts` documents the layout.
 */
import { crc32 } from "node:zlib"
import * as Either from "effect/Either"
import { ManifestInvalid } from "../../errors/ManifestInvalid.ts"

const MAGIC = Buffer.from("LIVEUPD\0", "latin1")

/** The layout that is written, and the newest that a writer may ask of its reader. */
export const VERSION = 2
export const HEADER_BYTES = 32
export const MAX_BYTES = 1024 * 1024
export const MAX_DATA_BYTES = 256 * 1024

/** A newer header may be longer; there is no reason for a long one. */
const HEADER_BYTES_MAX = 4096

const at = { version: 8, reader: 12, header: 16, description: 20, data: 24, checksum: 28 } as const
const atInVersion1 = { length: 16, checksum: 24, reserved: [12, 28] } as const

export interface Sections {
  readonly version: number
  /** Layout 1 has none. */
  readonly description: Buffer | undefined
  readonly data: Buffer
}

export const invalid = (reason: ManifestInvalid["reason"], where: string, detail: string) =>
  Either.left(new ManifestInvalid({ reason, where, detail }))

const tooLarge = (where: string, bytes: bigint | number, limit: number) =>
  invalid("too-large", where, `${bytes} bytes, the limit is ${limit}`)

/** Of everything but the checksum itself. */
const checksum = (bytes: Buffer): number =>
  crc32(bytes.subarray(at.checksum + 4), crc32(bytes.subarray(0, at.checksum)))

/** Says of a file's size alone that it can't be a manifest. */
export const checkSize = (bytes: number): Either.Either<void, ManifestInvalid> =>
  bytes > HEADER_BYTES_MAX + MAX_BYTES ? tooLarge("the file", bytes, HEADER_BYTES_MAX + MAX_BYTES) : Either.void

export const join = (description: Buffer, data: Buffer): Either.Either<Buffer, ManifestInvalid> => {
  if (data.length > MAX_DATA_BYTES) return tooLarge("data", data.length, MAX_DATA_BYTES)
  const length = description.length + data.length
  if (length > MAX_BYTES) return tooLarge("the payload", length, MAX_BYTES)
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32LE(VERSION, at.version)
  header.writeUInt32LE(VERSION, at.reader)
  header.writeUInt32LE(HEADER_BYTES, at.header)
  header.writeUInt32LE(description.length, at.description)
  header.writeUInt32LE(data.length, at.data)
  const bytes = Buffer.concat([header, description, data])
  bytes.writeUInt32LE(checksum(bytes), at.checksum)
  return Either.right(bytes)
}

const checkLength = (bytes: Buffer, promised: number | bigint): Either.Either<void, ManifestInvalid> => {
  if (BigInt(bytes.length) === BigInt(promised)) return Either.void
  return invalid(
    bytes.length < promised ? "truncated" : "trailing",
    `byte ${bytes.length < promised ? bytes.length : promised}`,
    `the header promises ${promised} bytes in all, ${bytes.length} are there`
  )
}

/** Layout 1: u32 0; u64 payload length; u32 CRC-32 of the payload; u32 0. The payload is the caller's data. */
const splitVersion1 = (bytes: Buffer): Either.Either<Sections, ManifestInvalid> =>
  Either.gen(function* () {
    for (const offset of atInVersion1.reserved)
      if (bytes.readUInt32LE(offset) !== 0) return yield* invalid("field", `byte ${offset}`, "reserved, but not 0")
    const length = bytes.readBigUInt64LE(atInVersion1.length)
    if (length > BigInt(MAX_BYTES)) return yield* tooLarge("the payload", length, MAX_BYTES)
    yield* checkLength(bytes, BigInt(HEADER_BYTES) + length)
    const data = bytes.subarray(HEADER_BYTES)
    if (crc32(data) !== bytes.readUInt32LE(atInVersion1.checksum))
      return yield* invalid("checksum", `byte ${atInVersion1.checksum}`, "the payload was changed")
    return { version: 1, description: undefined, data }
  })

const splitCurrent = (bytes: Buffer, version: number): Either.Either<Sections, ManifestInvalid> =>
  Either.gen(function* () {
    const reader = bytes.readUInt32LE(at.reader)
    if (reader > VERSION)
      return yield* Either.left(
        new ManifestInvalid({
          reason: "version",
          where: `byte ${at.reader}`,
          detail: `it is layout ${version} and takes a reader of layout ${reader}, this program reads up to ${VERSION}`,
          needs: reader
        })
      )
    if (reader < VERSION || version < reader)
      return yield* invalid("field", `byte ${at.reader}`, `layout ${version} can't be for readers of layout ${reader}`)
    const header = bytes.readUInt32LE(at.header)
    if (header < HEADER_BYTES || header > HEADER_BYTES_MAX || (version === VERSION && header !== HEADER_BYTES))
      return yield* invalid("field", `byte ${at.header}`, `a header of ${header} bytes`)
    const description = bytes.readUInt32LE(at.description)
    const data = bytes.readUInt32LE(at.data)
    if (data > MAX_DATA_BYTES) return yield* tooLarge("data", data, MAX_DATA_BYTES)
    if (description + data > MAX_BYTES) return yield* tooLarge("the payload", description + data, MAX_BYTES)
    yield* checkLength(bytes, header + description + data)
    if (checksum(bytes) !== bytes.readUInt32LE(at.checksum))
      return yield* invalid("checksum", `byte ${at.checksum}`, "the bytes were changed")
    const middle = header + description
    return { version, description: bytes.subarray(header, middle), data: bytes.subarray(middle) }
  })

/** Everything that can be said without parsing: bounds, lengths, checksum. */
export const split = (bytes: Buffer): Either.Either<Sections, ManifestInvalid> => {
  if (bytes.length < HEADER_BYTES)
    return invalid("truncated", `byte ${bytes.length}`, `the header has ${HEADER_BYTES} bytes`)
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return invalid("magic", "byte 0", "other bytes")
  const version = bytes.readUInt32LE(at.version)
  if (version === 0) return invalid("field", `byte ${at.version}`, "there is no layout 0")
  return version === 1 ? splitVersion1(bytes) : splitCurrent(bytes, version)
}
