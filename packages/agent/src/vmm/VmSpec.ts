/**
 * A VM as its operator writes it down: a small TOML or JSON file.
 *
 * ```toml
 * id = "web-1"
 * memory = "2G"
 * cpus = 2
 *
 * [[disks]]
 * path = "web-1.qcow2"
 * format = "qcow2"
 * ```
 *
 * Only `vm start` loads this module: Schema and the TOML parser are too heavy for the resume path, which reads records.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as os from "node:os"
import { delimiter, dirname, isAbsolute, join, resolve as resolvePath } from "node:path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { parse as parseToml } from "smol-toml"
import { nearest } from "./NearestName.ts"
import { codeOf, firstLineOf } from "./SystemError.ts"
import { VM_ID_PATTERN, type VmConfig, type VmDisk } from "./Vm.ts"

const says = (message: string) => ({ message: () => ({ message, override: true }) })

const text = Schema.NonEmptyString.annotations(says("has to be a text that is not empty"))
const flag = Schema.Boolean.annotations(says("has to be true or false"))
const path = Schema.String.pipe(Schema.filter((value) => value !== "" && !value.includes("\0"))).annotations(
  says("has to be a path")
)

/** Exact, as a union with `undefined` would complain twice about each wrong value. */
const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

/** virtio-blk has room for 20 bytes (`VIRTIO_BLK_ID_BYTES`). */
const SERIAL_BYTES = 20

const DiskSpec = Schema.Struct({
  path,
  format: Schema.Literal("raw", "qcow2").annotations(says('has to be "raw" or "qcow2"')),
  readonly: optional(flag),
  serial: optional(
    Schema.String.pipe(Schema.filter((value) => Buffer.byteLength(value) <= SERIAL_BYTES)).annotations(
      says(`has to be a text of at most ${SERIAL_BYTES} bytes`)
    )
  ),
  cache: optional(
    Schema.Literal("none", "writeback", "writethrough").annotations(
      says('has to be "none", "writeback" or "writethrough" (others lose writes in a kexec)')
    )
  )
})

/**
 * @since 0.1.0
 * @category constants
 */
export const MAX_CPUS = 255

/**
 * The fields of a spec file.
 *
 * @since 0.1.0
 * @category schemas
 */
export const VmSpec = Schema.Struct({
  id: Schema.String.pipe(Schema.pattern(VM_ID_PATTERN)).annotations(
    says('has to be 1 to 48 of A-Z a-z 0-9 "." "_" "-", a letter or digit first')
  ),
  memory: Schema.Union(Schema.String, Schema.Number).annotations(
    says('has to be a size such as "192M" or "2G", or a number of bytes')
  ),
  cpus: optional(
    Schema.Int.pipe(Schema.between(1, MAX_CPUS)).annotations(says(`has to be a whole number from 1 to ${MAX_CPUS}`))
  ),
  machine: optional(text),
  accelerator: optional(Schema.Literal("kvm", "tcg").annotations(says('has to be "kvm" or "tcg"'))),
  cpu: optional(text),
  kernel: optional(path),
  initrd: optional(path),
  cmdline: optional(Schema.String.annotations(says("has to be a text"))),
  disks: optional(Schema.Array(DiskSpec)),
  binary: optional(path),
  args: optional(Schema.Array(Schema.String.annotations(says("has to be a text")))),
  check: optional(
    Schema.NonEmptyArray(Schema.String).annotations(says("has to be a list of texts, a program and its arguments"))
  )
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type VmSpec = typeof VmSpec.Type

/**
 * One thing wrong with a spec. `field` is a path such as `disks[1].format`, and empty when it is the file as a whole.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmSpecProblem {
  readonly field: string
  readonly problem: string
}

/**
 * The spec can't be used; everything that is wrong with it, at once.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmSpecInvalid extends Schema.TaggedError<VmSpecInvalid>()("VmSpecInvalid", {
  path: Schema.String,
  problems: Schema.Array(Schema.Struct({ field: Schema.String, problem: Schema.String }))
}) {
  override get message(): string {
    const problems = this.problems.map(({ field, problem }) => (field === "" ? problem : `${field} ${problem}`))
    return `VM spec ${this.path}: ${problems.join("; ")}`
  }
}

/**
 * There is no spec to be read.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmSpecUnreadable extends Schema.TaggedError<VmSpecUnreadable>()("VmSpecUnreadable", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `can't read VM spec ${this.path}: ${this.code}`
  }
}

const fieldName = (segments: ReadonlyArray<PropertyKey>): string =>
  segments.reduce<string>(
    (name, segment) =>
      typeof segment === "number" ? `${name}[${segment}]` : `${name}${name === "" ? "" : "."}${String(segment)}`,
    ""
  )

const problemsOf = (error: ParseResult.ParseError): ReadonlyArray<VmSpecProblem> =>
  ParseResult.ArrayFormatter.formatErrorSync(error).map((issue) => {
    const field = fieldName(issue.path)
    const last = issue.path.at(-1)
    if (issue._tag === "Missing") return { field, problem: "is missing" }
    if (issue._tag !== "Unexpected" || last === undefined) return { field, problem: issue.message }
    const known = Object.keys(issue.path[0] === "disks" ? DiskSpec.fields : VmSpec.fields)
    return { field, problem: `is no known field; the nearest one is "${nearest(String(last), known)}"` }
  })

const readTree = (source: string, file: string): unknown =>
  file.endsWith(".json") || (!file.endsWith(".toml") && source.trimStart().startsWith("{"))
    ? JSON.parse(source)
    : parseToml(source)

/**
 * A spec from the text of its file: JSON if it is called `.json`, TOML if `.toml`, else whatever it looks like.
 *
 * @since 0.1.0
 * @category decoding
 */
export const parse = (source: string, file: string): Either.Either<VmSpec, VmSpecInvalid> =>
  Either.try({
    try: () => readTree(source, file),
    catch: (error) => new VmSpecInvalid({ path: file, problems: [{ field: "", problem: firstLineOf(error) }] })
  }).pipe(
    Either.flatMap((tree) =>
      Either.mapLeft(
        Schema.decodeUnknownEither(VmSpec, { errors: "all", onExcessProperty: "error" })(tree),
        (error) => new VmSpecInvalid({ path: file, problems: problemsOf(error) })
      )
    )
  )

const UNITS: { readonly [unit: string]: number } = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }
const PAGE_BYTES = 4096
const MIN_MEMORY_BYTES = 16 * 2 ** 20
/** What x86-64 can address with the widest physical addresses that VMMs offer by default. */
const MAX_MEMORY_BYTES = 2 ** 46

/**
 * A size in bytes from `"192M"`, `"2GiB"` or a number of bytes; or what is wrong with it.
 *
 * @since 0.1.0
 * @category decoding
 */
export const parseMemory = (memory: string | number): Either.Either<number, string> => {
  const [, digits, unit] = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$/i.exec(String(memory)) ?? []
  if (digits === undefined || unit === undefined) {
    return Either.left(`has to be a size such as "192M" or "2G", or a number of bytes, not "${memory}"`)
  }
  const bytes = Number(digits) * (UNITS[unit.toUpperCase()] ?? 1)
  if (bytes < MIN_MEMORY_BYTES) return Either.left(`of "${memory}" is too small: at least 16M`)
  if (bytes > MAX_MEMORY_BYTES) return Either.left(`of "${memory}" is more than a machine can address: at most 64T`)
  if (bytes % PAGE_BYTES !== 0) return Either.left(`of "${memory}" is not a whole number of 4 KiB pages`)
  return Either.right(bytes)
}

/** What an operator must not say in `args`, as the driver has to know or decide it. */
const RESERVED_ARGS: { readonly [option: string]: string } = {
  "-daemonize": "the agent starts the VMM in the background itself",
  "-incoming": "the agent decides when a VM waits for its state",
  "-loadvm": "the agent decides what state a VM starts from",
  "-m": 'set "memory"',
  "-mem-path": "guest RAM has to be the agent's memfd",
  "-snapshot": "writes would go to a temporary file that doesn't survive a live update"
}

const argProblems = (args: ReadonlyArray<string>): ReadonlyArray<VmSpecProblem> =>
  args.flatMap((arg, index) => {
    // QEMU takes its options with one dash or two.
    const why = RESERVED_ARGS[arg.replace(/^--/, "-")]
    return why === undefined ? [] : [{ field: `args[${index}]`, problem: `must not be "${arg}": ${why}` }]
  })

/** Why a file can't be used, or nothing. A block device is as good as a file. */
const fileProblem = (file: string, access: number): string | undefined => {
  try {
    const stat = fs.statSync(file)
    if (!stat.isFile() && !stat.isBlockDevice()) return `${file} is not a file`
    fs.accessSync(file, access)
    return undefined
  } catch (error) {
    return codeOf(error) === "ENOENT" ? `${file} does not exist` : `${file} can't be used: ${codeOf(error)}`
  }
}

const findBinary = (name: string, base: string, searchPath: string): string | undefined => {
  const candidates = name.includes("/")
    ? [resolvePath(base, name)]
    : searchPath
        .split(delimiter)
        .filter((directory) => isAbsolute(directory))
        .map((directory) => join(directory, name))
  return candidates.find((candidate) => fileProblem(candidate, fs.constants.X_OK) === undefined)
}

/**
 * What is true where a spec doesn't say it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Defaults {
  readonly accelerator: VmConfig["accelerator"]
  readonly machine: string
  readonly cpus: number
  /** A program's name, or an absolute path. */
  readonly binary: string
}

/**
 * @since 0.1.0
 * @category constants
 */
export const defaults: Defaults = { accelerator: "kvm", machine: "q35", cpus: 1, binary: "qemu-system-x86_64" }

/**
 * Fills in defaults, makes paths absolute (relative ones start at the spec's directory) and checks everything that can be checked
 * without starting the VM.
 *
 * @since 0.1.0
 * @category resolving
 */
export const resolve = Effect.fn("VmSpec.resolve")(function* (
  spec: VmSpec,
  file: string,
  without: Defaults = defaults
) {
  const base = dirname(resolvePath(file))
  const searchPath = yield* Effect.orDie(Config.withDefault(Config.string("PATH"), "/usr/local/bin:/usr/bin:/bin"))
  const problems: Array<VmSpecProblem> = [...argProblems(spec.args ?? [])]
  const report = (field: string, problem: string | undefined) => {
    if (problem !== undefined) problems.push({ field, problem })
  }

  const memory = parseMemory(spec.memory)
  const memoryBytes = Either.getOrElse(memory, () => 0)
  if (Either.isLeft(memory)) report("memory", memory.left)
  else if (memoryBytes > os.totalmem()) {
    report("memory", `of "${spec.memory}" is more than this host has (${Math.floor(os.totalmem() / 2 ** 20)}M)`)
  }

  const absolute = (field: string, name: string, access: number): string => {
    const found = resolvePath(base, name)
    const problem = fileProblem(found, access)
    report(field, problem)
    return found
  }
  const kernel = spec.kernel === undefined ? {} : { kernel: absolute("kernel", spec.kernel, fs.constants.R_OK) }
  const initrd = spec.initrd === undefined ? {} : { initrd: absolute("initrd", spec.initrd, fs.constants.R_OK) }
  const disks = (spec.disks ?? []).map((disk, index): VmDisk => {
    const readonly = disk.readonly ?? false
    const access = readonly ? fs.constants.R_OK : fs.constants.R_OK | fs.constants.W_OK
    return {
      path: absolute(`disks[${index}].path`, disk.path, access),
      format: disk.format,
      readonly,
      cache: disk.cache ?? "none",
      ...(disk.serial === undefined ? {} : { serial: disk.serial })
    }
  })
  disks.forEach((disk, index) => {
    const first = disks.findIndex((other) => other.path === disk.path)
    if (first !== index) report(`disks[${index}].path`, `is the same image as disks[${first}]`)
  })
  if (spec.kernel === undefined && disks.length === 0) report("", 'needs something to boot: a "kernel" or "disks"')
  if (spec.kernel === undefined) {
    for (const field of ["initrd", "cmdline"] as const) {
      if (spec[field] !== undefined) report(field, 'is of no use without "kernel"')
    }
  }
  const name = spec.binary ?? without.binary
  const binary = findBinary(name, base, searchPath)
  if (binary === undefined) {
    report(
      "binary",
      `"${name}" is no program${name.includes("/") ? "" : " on PATH"}; install qemu-system-x86 or set "binary"`
    )
  }
  const check =
    spec.check === undefined
      ? {}
      : { check: [absolute("check[0]", spec.check[0], fs.constants.X_OK), ...spec.check.slice(1)] }
  if (problems.length > 0 || binary === undefined) return yield* new VmSpecInvalid({ path: file, problems })

  const accelerator = spec.accelerator ?? without.accelerator
  const config: VmConfig = {
    id: spec.id,
    memoryBytes,
    cpus: spec.cpus ?? without.cpus,
    machine: spec.machine ?? without.machine,
    accelerator,
    cpu: spec.cpu ?? (accelerator === "kvm" ? "host" : "max"),
    ...kernel,
    ...initrd,
    ...(spec.cmdline === undefined ? {} : { cmdline: spec.cmdline }),
    disks,
    binary,
    args: spec.args ?? [],
    ...check
  }
  return config
})

/**
 * Reads, parses and resolves a spec file.
 *
 * Fails with `VmSpecUnreadable` or with `VmSpecInvalid`; the host is not touched.
 *
 * @since 0.1.0
 * @category resolving
 */
export const load = Effect.fn("VmSpec.load")(function* (file: string, without: Defaults = defaults) {
  const source = yield* Effect.try({
    try: () => fs.readFileSync(file, "utf8"),
    catch: (error) => new VmSpecUnreadable({ path: file, code: codeOf(error) })
  })
  return yield* resolve(yield* parse(source, file), file, without)
})
