/**
 * Valid manifests, and ways to damage them.
 */
import { crc32 } from "node:zlib"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import type { Kind } from "../src/Handle.ts"
import * as Manifest from "../src/Manifest.ts"
import * as Token from "../src/Token.ts"

export const Payload = Schema.Struct({
  run: Schema.String,
  vms: Schema.Array(Schema.Struct({ id: Schema.String, memory: Schema.Number })),
  note: Schema.optionalWith(Schema.String, { exact: true }),
  flags: Schema.Record({ key: Schema.String, value: Schema.Boolean })
})
export type Payload = typeof Payload.Type

/** What `Manifest.ts` says of the checksum, worked out once more. */
export const withChecksum = (bytes: Buffer): Buffer => {
  if (bytes.length < 32) return bytes
  const repaired = Buffer.from(bytes)
  if (bytes.readUInt32LE(8) === 1) repaired.writeUInt32LE(crc32(bytes.subarray(32)), 24)
  else repaired.writeUInt32LE(crc32(Buffer.concat([bytes.subarray(0, 28), bytes.subarray(32)])), 28)
  return repaired
}

/** A manifest of layout 2 around two texts, valid or not. */
export const around = (description: string, data: string, header: Partial<Record<number, number>> = {}): Buffer => {
  const texts = [Buffer.from(description), Buffer.from(data)] as const
  const bytes = Buffer.concat([Buffer.alloc(32), ...texts])
  bytes.write("LIVEUPD\0", "latin1")
  for (const [offset, value] of [
    [8, 2],
    [12, 2],
    [16, 32],
    [20, texts[0].length],
    [24, texts[1].length]
  ] as const)
    bytes.writeUInt32LE(header[offset] ?? value, offset)
  return withChecksum(bytes)
}

/** A manifest of layout 1, which is not written any more. */
export const version1 = (payload: string): Buffer => {
  const text = Buffer.from(payload)
  const bytes = Buffer.concat([Buffer.alloc(32), text])
  bytes.write("LIVEUPD\0", "latin1")
  bytes.writeUInt32LE(1, 8)
  bytes.writeBigUInt64LE(BigInt(text.length), 16)
  return withChecksum(bytes)
}

const kinds: ReadonlyArray<Kind> = ["memfd", "vfio", "iommufd", "guest_memfd", "kvm_vm"]

const files: FastCheck.Arbitrary<ReadonlyArray<Manifest.File>> = FastCheck.uniqueArray(
  FastCheck.record({
    token: FastCheck.oneof(
      FastCheck.bigInt({ min: 1n, max: 9n }),
      FastCheck.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
      FastCheck.constantFrom(2n ** 53n + 1n, 2n ** 64n - 1n)
    ),
    kind: FastCheck.constantFrom(...kinds),
    name: FastCheck.stringMatching(/^[a-z][a-z0-9._:/-]{0,9}$/),
    size: FastCheck.option(FastCheck.maxSafeNat(), { nil: undefined }),
    needs: FastCheck.array(FastCheck.nat(), { maxLength: 3 })
  }),
  { maxLength: 6, selector: ({ name }) => name }
).map((candidates) => {
  const files: Array<Manifest.File> = []
  for (const { token, kind, name, size, needs } of candidates) {
    if (name === "manifest" || files.some((file) => file.token === token)) continue
    const dependsOn = files.length === 0 ? [] : needs.map((index) => files[index % files.length]?.name ?? "")
    files.push({
      token: Token.make(token),
      kind,
      name,
      ...(size === undefined ? {} : { size }),
      dependsOn: [...new Set(dependsOn)]
    })
  }
  return files
})

const payload: FastCheck.Arbitrary<Payload> = FastCheck.record(
  {
    run: FastCheck.string({ unit: "binary" }),
    vms: FastCheck.array(FastCheck.record({ id: FastCheck.string(), memory: FastCheck.integer() }), { maxLength: 3 }),
    flags: FastCheck.dictionary(
      FastCheck.string({ maxLength: 5 }).filter((key) => key !== "__proto__"),
      FastCheck.boolean(),
      { maxKeys: 3, noNullPrototype: true }
    ),
    note: FastCheck.string()
  },
  { requiredKeys: ["run", "vms", "flags"], noNullPrototype: true }
)

export const manifest: FastCheck.Arbitrary<Required<Manifest.Manifest<Payload>>> = FastCheck.record({
  kernel: FastCheck.constantFrom("7.3.4", "7.2.13-host-a"),
  createdAt: FastCheck.maxSafeNat(),
  files,
  data: payload
})

export const encode = (value: Required<Manifest.Manifest<Payload>>): Buffer =>
  Either.getOrThrow(Manifest.encode(Payload, value))

export type Mutation = (bytes: Buffer, other: Buffer) => Buffer

/** An offset given as a share of the length. */
const within = (share: number, length: number): number => Math.min(Math.floor(share * length), Math.max(0, length - 1))

const share = FastCheck.noBias(FastCheck.nat(9999)).map((part) => part / 10_000)

const setByte = (bytes: Buffer, offset: number, change: (byte: number) => number): Buffer => {
  const changed = Buffer.from(bytes)
  if (changed.length > 0) changed.writeUInt8(change(changed.readUInt8(offset)) & 0xff, offset)
  return changed
}

/** The two texts of a manifest whose header can be believed. */
const textsOf = (bytes: Buffer) => {
  const middle = 32 + (bytes.length < 32 ? 0 : bytes.readUInt32LE(20))
  return [bytes.toString("utf8", 32, middle), bytes.toString("utf8", middle)] as const
}

const hostileValues: ReadonlyArray<unknown> = [
  null,
  true,
  -1,
  1.5,
  1e300,
  2 ** 53,
  "",
  "0",
  "1",
  "01",
  "-1",
  "1e3",
  "18446744073709551615",
  "18446744073709551616",
  "manifest",
  "__proto__",
  "constructor",
  "\0",
  "ram",
  "x".repeat(100),
  "memfd",
  [],
  {},
  [[[[]]]],
  JSON.parse('{"__proto__":{"polluted":true}}'),
  JSON.parse(`${"[".repeat(80)}${"]".repeat(80)}`)
]

/** Replaces, removes or doubles the value that a walk by `steps` leads to. */
const changeValue = (value: unknown, steps: ReadonlyArray<number>, replacement: unknown, how: number): unknown => {
  if (typeof value !== "object" || value === null) return replacement
  const keys = Object.keys(value)
  const [step = 0, ...rest] = steps
  const key = keys[step % Math.max(1, keys.length)]
  if (key === undefined) return replacement
  if (Array.isArray(value)) {
    const items = [...(value as ReadonlyArray<unknown>)]
    const index = Number(key)
    if (rest.length > 0) items[index] = changeValue(items[index], rest, replacement, how)
    else if (how === 0) items[index] = replacement
    else if (how === 1) items.splice(index, 1)
    else items.push(items[index])
    return items
  }
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]): ReadonlyArray<readonly [string, unknown]> => {
      if (name !== key) return [[name, item]]
      if (rest.length > 0) return [[name, changeValue(item, rest, replacement, how)]]
      if (how === 0) return [[name, replacement]]
      return how === 1
        ? []
        : [
            [`${name}2`, item],
            [name, item]
          ]
    })
  )
}

const reparse = (text: string, change: (value: unknown) => unknown): string => {
  try {
    return JSON.stringify(change(JSON.parse(text)) ?? null)
  } catch {
    return text
  }
}

export const mutation: FastCheck.Arbitrary<Mutation> = FastCheck.oneof(
  {
    weight: 4,
    arbitrary: FastCheck.tuple(share, FastCheck.nat(7)).map(
      ([at, bit]): Mutation =>
        (bytes) =>
          setByte(bytes, within(at, bytes.length), (byte) => byte ^ (1 << bit))
    )
  },
  {
    weight: 2,
    arbitrary: FastCheck.tuple(share, FastCheck.nat(255)).map(
      ([at, byte]): Mutation =>
        (bytes) =>
          setByte(bytes, within(at, bytes.length), () => byte)
    )
  },
  {
    weight: 1,
    arbitrary: share.map(
      (at): Mutation =>
        (bytes) =>
          bytes.subarray(0, within(at, bytes.length))
    )
  },
  {
    weight: 1,
    arbitrary: FastCheck.uint8Array({ minLength: 1, maxLength: 40 }).map(
      (more): Mutation =>
        (bytes) =>
          Buffer.concat([bytes, more])
    )
  },
  // A piece of another manifest, or of this one, in the place of a piece of this one.
  {
    weight: 2,
    arbitrary: FastCheck.tuple(share, share, share, share).map(
      ([a, b, c, d]): Mutation =>
        (bytes, other) => {
          const [from, to] = [within(Math.min(a, b), bytes.length), within(Math.max(a, b), bytes.length)]
          const piece = other.subarray(within(Math.min(c, d), other.length), within(Math.max(c, d), other.length))
          return Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(to)])
        }
    )
  },
  // Versions, lengths, checksum.
  {
    weight: 2,
    arbitrary: FastCheck.tuple(
      FastCheck.constantFrom(8, 12, 16, 20, 24, 28),
      FastCheck.oneof(
        FastCheck.nat(70),
        FastCheck.constantFrom(0x7fffffff, 0xffffffff, 1 << 20, 1 << 18),
        FastCheck.nat()
      )
    ).map(
      ([offset, value]): Mutation =>
        (bytes) => {
          const changed = Buffer.from(bytes)
          if (bytes.length >= 32) changed.writeUInt32LE(value >>> 0, offset)
          return changed
        }
    )
  },
  // Parts that are valid by themselves: swapped, or of different manifests.
  {
    weight: 1,
    arbitrary: FastCheck.boolean().map(
      (swap): Mutation =>
        (bytes, other) => {
          const [description, data] = textsOf(bytes)
          return swap ? around(data, description) : around(description, textsOf(other)[1])
        }
    )
  },
  // What says something else in good form.
  {
    weight: 4,
    arbitrary: FastCheck.tuple(
      FastCheck.boolean(),
      FastCheck.array(FastCheck.nat(9), { minLength: 1, maxLength: 4 }),
      FastCheck.constantFrom(...hostileValues),
      FastCheck.nat(2)
    ).map(
      ([inDescription, steps, value, how]): Mutation =>
        (bytes) => {
          const [description, data] = textsOf(bytes)
          const change = (text: string) => reparse(text, (parsed) => changeValue(parsed, steps, value, how))
          return inDescription ? around(change(description), data) : around(description, change(data))
        }
    )
  },
  // Text that is changed but not as JSON.
  {
    weight: 2,
    arbitrary: FastCheck.tuple(
      FastCheck.boolean(),
      share,
      FastCheck.nat(3),
      FastCheck.constantFrom(
        " ",
        ",",
        '"',
        "\\u0041",
        "[",
        "{}",
        "NaN",
        "-0",
        "1e999",
        "\u{feff}",
        '"__proto__":1,',
        "\ud800"
      )
    ).map(
      ([inDescription, at, cut, insertion]): Mutation =>
        (bytes) => {
          const [description, data] = textsOf(bytes)
          const change = (text: string) => {
            const offset = within(at, text.length + 1)
            return text.slice(0, offset) + insertion + text.slice(offset + cut)
          }
          return inDescription ? around(change(description), data) : around(description, change(data))
        }
    )
  }
)
