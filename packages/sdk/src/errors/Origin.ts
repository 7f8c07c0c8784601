/**
 * What every error of the family says: which request was refused, with which errno, about what, and what to do next.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Token from "../Token.ts"

/**
 * What was asked of the kernel when it refused.
 *
 * @since 0.1.0
 * @category models
 */
export const Operation = Schema.Literal(
  "device.open",
  "session.create",
  "session.retrieve",
  "session.preserve",
  "session.retrieveFile",
  "session.finish",
  "session.name",
  "memfd.create",
  "memfd.resize",
  "memfd.seal",
  "memfd.adopt",
  "memfd.stat",
  "memfd.read",
  "memfd.write",
  "memfd.populate",
  "iommufd.open",
  "iommufd.adopt",
  "iommufd.allocate",
  "iommufd.map",
  "iommufd.unmap",
  "iommufd.mark",
  "iommufd.destroy",
  "vfio.find",
  "vfio.open",
  "vfio.adopt",
  "vfio.bind",
  "vfio.attach",
  "vfio.detach",
  "kvm.open",
  "kvm.create",
  "kvm.adopt",
  "kvm.createGuestMemfd",
  "file.open",
  "file.inspect",
  "host.lock",
  "kexec.load",
  "kexec.unload",
  "kexec.jump"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Operation = typeof Operation.Type

/**
 * Where an operation was and what it was about; only what applies is present.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  readonly session?: string
  /** u64 */
  readonly token?: bigint
  /** The name that the token has, where it is known. */
  readonly file?: string
  /** The kind of file: `memfd`, `vfio`, … */
  readonly kind?: string
  readonly path?: string
  /** What inside the file: `ioas 2, iova 0x100000`. */
  readonly object?: string
}

/**
 * The fields of every member of the family. `errno` is the kernel's name for it (`EBUSY`), or `none` when the SDK refused
 * before it asked the kernel.
 *
 * @since 0.1.0
 * @category models
 */
export const origin = {
  operation: Operation,
  errno: Schema.String,
  session: Schema.optionalWith(Schema.String, { exact: true }),
  token: Schema.optionalWith(Schema.BigInt, { exact: true }),
  file: Schema.optionalWith(Schema.String, { exact: true }),
  kind: Schema.optionalWith(Schema.String, { exact: true }),
  path: Schema.optionalWith(Schema.String, { exact: true }),
  object: Schema.optionalWith(Schema.String, { exact: true })
}

const place = (e: Subject): string =>
  [
    e.session === undefined ? undefined : `session "${e.session}"`,
    e.token === undefined ? undefined : Token.format(e.token, e.file),
    e.kind,
    e.path,
    e.object
  ]
    .filter((part) => part !== undefined)
    .join(", ")

/**
 * One line: what happened, where, the kernel's own word, the next step.
 *
 * @since 0.1.0
 * @category rendering
 */
export const sentence = (
  e: Subject & { readonly operation: string; readonly errno: string; readonly next: string },
  what: string
): string => {
  const where = place(e)
  return `${what}${where === "" ? "" : ` (${where})`} [${e.operation}: ${e.errno}]. ${e.next}`
}
