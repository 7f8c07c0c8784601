/**
 * Records and configurations back from JSON.
 *
 * By hand and not with Schema: the resume path reads both while the guest stands still, and Schema alone would cost it more than all the
 * rest of this directory.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { VM_ID_PATTERN, type VmConfig, type VmDisk, type VmRecord } from "./Vm.ts"

/** Says whether a value is right; the text is what it should have been. */
interface Field {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
}

type Fields<A> = { readonly [K in keyof Required<A>]: Field }

const string: Field = { expected: "a string", accepts: (value) => typeof value === "string" }
const boolean: Field = { expected: "true or false", accepts: (value) => typeof value === "boolean" }
const natural: Field = {
  expected: "a whole number",
  accepts: (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0
}
const id: Field = {
  expected: "a VM id",
  accepts: (value) => typeof value === "string" && VM_ID_PATTERN.test(value)
}
const oneOf = (...values: ReadonlyArray<string>): Field => ({
  expected: values.map((value) => `"${value}"`).join(" or "),
  accepts: (value) => typeof value === "string" && values.includes(value)
})
const optional = (field: Field): Field => ({
  expected: `${field.expected} or nothing`,
  accepts: (value) => value === undefined || field.accepts(value)
})
const arrayOf = (field: Field): Field => ({
  expected: `a list, each ${field.expected}`,
  accepts: (value) => Array.isArray(value) && value.every(field.accepts)
})
const object = <A>(fields: Fields<A>, expected: string): Field => ({
  expected,
  accepts: (value) => mismatch(fields, value) === undefined
})

/** Where a value first differs from what it should be; `undefined` when nowhere. */
const mismatch = <A>(fields: Fields<A>, value: unknown): string | undefined => {
  if (typeof value !== "object" || value === null) return "not an object"
  for (const [name, field] of Object.entries<Field>(fields)) {
    if (!field.accepts(Reflect.get(value, name))) return `"${name}" is not ${field.expected}`
  }
  return undefined
}

const disk: Fields<VmDisk> = {
  path: string,
  format: oneOf("raw", "qcow2"),
  readonly: boolean,
  cache: oneOf("none", "writeback", "writethrough"),
  serial: optional(string)
}

const config: Fields<VmConfig> = {
  id,
  memoryBytes: natural,
  cpus: natural,
  machine: string,
  accelerator: oneOf("kvm", "tcg"),
  cpu: string,
  kernel: optional(string),
  initrd: optional(string),
  cmdline: optional(string),
  disks: arrayOf(object(disk, "a disk")),
  binary: string,
  args: arrayOf(string),
  check: optional(arrayOf(string))
}

const record: Fields<VmRecord> = {
  id,
  config: object(config, "a VM configuration"),
  pid: natural,
  pidStartTime: string,
  ramFd: natural,
  stateDir: string,
  runtimeDir: string,
  consolePath: string,
  logPath: string,
  qmpPath: string,
  createdAt: natural
}

const decode =
  <A>(fields: Fields<A>) =>
  (value: unknown): Either.Either<A, string> => {
    const reason = mismatch(fields, value)
    return reason === undefined ? Either.right(value as A) : Either.left(reason)
  }

/**
 * A configuration from parsed JSON, or what is wrong with it.
 *
 * @since 0.1.0
 * @category decoding
 */
export const decodeConfig: (value: unknown) => Either.Either<VmConfig, string> = decode(config)

/**
 * A record from parsed JSON, or what is wrong with it.
 *
 * @since 0.1.0
 * @category decoding
 */
export const decodeRecord: (value: unknown) => Either.Either<VmRecord, string> = decode(record)
