/**
 * The SDK's own part of a manifest. Read by hand and not with Schema: this runs while guests stand still.
 */
import * as Either from "effect/Either"
import type { ManifestInvalid } from "../../errors/ManifestInvalid.ts"
import type { Kind } from "../../Handle.ts"
import * as Token from "../../Token.ts"
import * as json from "./json.ts"
import { invalid, VERSION } from "./layout.ts"

export const MAX_FILES = 4096

export interface File {
  readonly token: Token.Token
  readonly kind: Kind
  readonly name: string
  readonly size?: number
  readonly dependsOn: ReadonlyArray<string>
}

export interface Description {
  readonly kernel: string
  readonly createdAt: number
  readonly files: ReadonlyArray<File>
}

const kinds: Readonly<Record<Kind, true>> = { memfd: true, vfio: true, iommufd: true, guest_memfd: true, kvm_vm: true }

const isKind = (value: unknown): value is Kind => typeof value === "string" && Object.hasOwn(kinds, value)

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isNatural = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0

/** `utsname.release` has at most 64 printable bytes. */
const RELEASE = /^[\x21-\x7e]{1,64}$/

const field = (where: string, detail: string) => invalid("field", where, detail)

const get = (value: object, key: string): unknown => (Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined)

/** What is known of the files before the one that is read: it may depend on those only, so there can be no cycle. */
/** `Array.isArray` would make it a list of `any`. */
const isList = (value: unknown): value is ReadonlyArray<unknown> => Array.isArray(value)

interface Seen {
  readonly names: Set<string>
  readonly tokens: Set<bigint>
}

const readDependencies = (
  where: string,
  value: unknown,
  seen: Seen
): Either.Either<ReadonlyArray<string>, ManifestInvalid> => {
  if (!isList(value)) return field(where, "not a list")
  const names: Array<string> = []
  for (const name of value) {
    if (typeof name !== "string" || !seen.names.has(name)) return field(where, "no file before this one has that name")
    names.push(name)
  }
  return new Set(names).size === names.length ? Either.right(names) : field(where, "a name is there twice")
}

const readFile = (where: string, value: unknown, seen: Seen): Either.Either<File, ManifestInvalid> =>
  Either.gen(function* () {
    if (!isObject(value)) return yield* field(where, "not an object")
    const token = Token.parse(get(value, "token"))
    if (token === undefined) return yield* field(`${where}.token`, "not a decimal number from 0 to 2^64-1 in a string")
    if (token === Token.manifest) return yield* field(`${where}.token`, "0 is the manifest's own")
    if (seen.tokens.has(token)) return yield* field(`${where}.token`, `${token} is there twice`)
    const kind = get(value, "kind")
    if (!isKind(kind)) return yield* field(`${where}.kind`, "a kind of file that is not known here")
    const name = get(value, "name")
    if (typeof name !== "string" || !Token.isName(name)) return yield* field(`${where}.name`, "not a file's name")
    if (seen.names.has(name)) return yield* field(`${where}.name`, `${name} is there twice`)
    const size = get(value, "size")
    if (size !== undefined && !isNatural(size)) return yield* field(`${where}.size`, "not a number of bytes")
    const dependsOn = yield* readDependencies(`${where}.dependsOn`, get(value, "dependsOn"), seen)
    seen.tokens.add(token)
    seen.names.add(name)
    return { token, kind, name, ...(size === undefined ? {} : { size }), dependsOn }
  })

const read = (value: unknown): Either.Either<Description, ManifestInvalid> =>
  Either.gen(function* () {
    if (!isObject(value)) return yield* field("description", "not an object")
    const kernel = get(value, "kernel")
    if (typeof kernel !== "string" || !RELEASE.test(kernel)) return yield* field("kernel", "not a kernel's release")
    const createdAt = get(value, "createdAt")
    if (!isNatural(createdAt)) return yield* field("createdAt", "not milliseconds since 1970")
    const files = get(value, "files")
    if (!isList(files)) return yield* field("files", "not a list")
    if (files.length > MAX_FILES)
      return yield* invalid("too-large", "files", `${files.length}, the limit is ${MAX_FILES}`)
    const seen: Seen = { names: new Set(), tokens: new Set() }
    const read: Array<File> = []
    for (const [index, file] of files.entries()) read.push(yield* readFile(`files[${index}]`, file, seen))
    return { kernel, createdAt, files: read }
  })

const print = ({ kernel, createdAt, files }: Description): string =>
  JSON.stringify({
    kernel,
    createdAt,
    files: files.map(({ token, kind, name, size, dependsOn }) => ({
      token: token.toString(),
      kind,
      name,
      size,
      dependsOn
    }))
  })

/** A newer writer may say more than is known here; this version's own may not. */
export const decode = (version: number, bytes: Buffer): Either.Either<Description, ManifestInvalid> =>
  Either.gen(function* () {
    const description = yield* read(yield* json.parse("description", bytes))
    if (version === VERSION && print(description) !== bytes.toString("utf8"))
      return yield* field("description", "fields that this layout doesn't have, or in another order")
    return description
  })

/** Through `decode`, so that nothing is written that could not be read. */
export const encode = (description: Description): Either.Either<Buffer, ManifestInvalid> => {
  const bytes = Buffer.from(print(description), "utf8")
  return Either.map(decode(VERSION, bytes), () => bytes)
}
