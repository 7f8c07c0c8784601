/**
 * C structs of the kernel's interface, as a list of fields in their order: one codec for all of them.
 *
 * Fields lie where a C compiler puts them (each at a multiple of its own size), little-endian on both architectures that the
 * SDK supports. `packages/conformance/test/kernelHeaders.test.ts` holds every struct to the kernel's own headers, byte by byte.
 */

/**
 * `length`: a u32 that says how many bytes the struct has; the codec fills it in. `u32`, `s32`, `u64`: numbers, the last one
 * a bigint. A number: so many bytes of text, padded with NULs.
 */
export type FieldType = "length" | "u32" | "s32" | "u64" | number

export type Fields = Readonly<Record<string, FieldType>>

type ValueOf<T extends FieldType> = T extends "u64" ? bigint : T extends number ? string : number

/** What can be read from a struct. */
export type Values<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]> }

/** What can be written into one: fields that are left out are 0, as the kernel asks of those that it reserves. */
export type Given<F extends Fields> = { readonly [K in keyof F as F[K] extends "length" ? never : K]?: ValueOf<F[K]> }

export interface Struct<F extends Fields> {
  /** Its name in C, without `struct`. */
  readonly name: string
  readonly fields: F
  readonly bytes: number
  /** Where a field begins, in bytes. */
  readonly offsetOf: (field: keyof F) => number
  readonly encode: (given: Given<F>) => Buffer
  readonly decode: (bytes: Buffer) => Values<F>
  /** Writes these fields into a struct that is there, and leaves all others as they are. */
  readonly update: (bytes: Buffer, given: Given<F>) => void
}

interface Codec {
  readonly bytes: number
  readonly alignment: number
  readonly write: (buffer: Buffer, offset: number, value: unknown) => void
  readonly read: (buffer: Buffer, offset: number) => number | bigint | string
}

const u32: Codec = {
  bytes: 4,
  alignment: 4,
  write: (buffer, offset, value) => buffer.writeUInt32LE(Number(value ?? 0), offset),
  read: (buffer, offset) => buffer.readUInt32LE(offset)
}

const s32: Codec = {
  ...u32,
  write: (buffer, offset, value) => buffer.writeInt32LE(Number(value ?? 0), offset),
  read: (buffer, offset) => buffer.readInt32LE(offset)
}

const u64: Codec = {
  bytes: 8,
  alignment: 8,
  write: (buffer, offset, value) => buffer.writeBigUInt64LE(typeof value === "bigint" ? value : 0n, offset),
  read: (buffer, offset) => buffer.readBigUInt64LE(offset)
}

const text = (bytes: number): Codec => ({
  bytes,
  alignment: 1,
  write: (buffer, offset, value) => void buffer.write(String(value ?? ""), offset, bytes, "utf8"),
  read: (buffer, offset) => {
    const field = buffer.subarray(offset, offset + bytes)
    const end = field.indexOf(0)
    return field.toString("utf8", 0, end === -1 ? bytes : end)
  }
})

const codecs = { length: u32, u32, s32, u64 } as const

const codecOf = (type: FieldType): Codec => (typeof type === "number" ? text(type) : codecs[type])

const alignUp = (offset: number, alignment: number): number => Math.ceil(offset / alignment) * alignment

export const struct = <F extends Fields>(name: string, fields: F): Struct<F> => {
  const places = new Map<string, { readonly type: FieldType; readonly codec: Codec; readonly offset: number }>()
  let end = 0
  let alignment = 1
  for (const [field, type] of Object.entries(fields)) {
    const codec = codecOf(type)
    const offset = alignUp(end, codec.alignment)
    places.set(field, { type, codec, offset })
    end = offset + codec.bytes
    alignment = Math.max(alignment, codec.alignment)
  }
  const bytes = alignUp(end, alignment)
  return {
    name,
    fields,
    bytes,
    offsetOf: (field) => places.get(String(field))?.offset ?? Number.NaN,
    encode: (given) => {
      const buffer = Buffer.alloc(bytes)
      const values: Readonly<Record<string, unknown>> = given
      for (const [field, { codec, offset, type }] of places)
        codec.write(buffer, offset, type === "length" ? bytes : values[field])
      return buffer
    },
    decode: (buffer) =>
      // The record has each field of F with the type that its codec reads.
      Object.fromEntries(
        [...places].map(([field, { codec, offset }]) => [field, codec.read(buffer, offset)])
      ) as unknown as Values<F>,
    update: (buffer, given) => {
      const values: Readonly<Record<string, unknown>> = given
      for (const [field, { codec, offset }] of places)
        if (values[field] !== undefined) codec.write(buffer, offset, values[field])
    }
  }
}
