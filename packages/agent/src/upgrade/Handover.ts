/**
 * What the two halves of a live update agree on: names of sessions and files, and the agent's own data in their manifests. It
 * goes through the handover itself, so that the second half needs no disk.
 *
 * @since 0.1.0
 */
import * as Token from "@liveupdate/sdk/Token"
import * as Schema from "effect/Schema"
import { Hooks } from "./Hooks.ts"

/**
 * The session that lists all others; its name is the only thing that the next kernel's agent has to know.
 *
 * @since 0.1.0
 * @category constants
 */
export const indexSession = "liveupdate-index"

/**
 * One session per VM, so that one VM's trouble is never another's.
 *
 * @since 0.1.0
 * @category constants
 */
export const vmSession = (id: string): string => `liveupdate-vm-${id}`

/**
 * Tokens of a VM's session; its manifest is at `Token.manifest`.
 *
 * @since 0.1.0
 * @category constants
 */
export const tokens = Token.names({ ram: 1n, state: 2n })

/**
 * What goes over with so many VMs: the sessions that the run is about, and the files in them, manifests too.
 *
 * @since 0.1.0
 * @category accessors
 */
export const count = (vms: number): { readonly sessions: number; readonly files: number } => ({
  sessions: 1 + vms,
  files: 1 + vms * (1 + Object.keys(tokens).length)
})

/**
 * The agent's data in the manifest of the index session, written while the guests run.
 *
 * @since 0.1.0
 * @category models
 */
export const Index = Schema.Struct({
  version: Schema.Literal(1),
  run: Schema.String,
  boot: Schema.String,
  vms: Schema.Array(Schema.Struct({ id: Schema.String, session: Schema.String })),
  /** The operator's programs, none where it is missing. */
  hooks: Schema.optionalWith(Hooks, { exact: true }),
  /** Of phases after the jump, in seconds, where they are not the phases' own. */
  deadlines: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.Number }), { exact: true }),
  /** Of the span that the run is, so that the second half is a part of the same trace. */
  traceparent: Schema.optionalWith(Schema.String, { exact: true })
})

/**
 * @since 0.1.0
 * @category models
 */
export type Index = typeof Index.Type

const Optional = Schema.optionalWith(Schema.String, { exact: true })

const Disk = Schema.Struct({
  path: Schema.String,
  format: Schema.Literal("raw", "qcow2"),
  readonly: Schema.Boolean,
  cache: Schema.Literal("none", "writeback", "writethrough"),
  serial: Optional
})

/**
 * How a VM was configured, as in `vmm/Vm.ts`.
 *
 * @since 0.1.0
 * @category models
 */
export const VmConfig = Schema.Struct({
  id: Schema.String,
  memoryBytes: Schema.Number,
  cpus: Schema.Number,
  machine: Schema.String,
  accelerator: Schema.Literal("kvm", "tcg"),
  cpu: Schema.String,
  kernel: Optional,
  initrd: Optional,
  cmdline: Optional,
  disks: Schema.Array(Disk),
  binary: Schema.String,
  args: Schema.Array(Schema.String),
  check: Schema.optionalWith(Schema.Array(Schema.String), { exact: true })
})

/**
 * The agent's data in the manifest of a VM's session, written when its state was saved. The session's files are `ram` and
 * `state`.
 *
 * @since 0.1.0
 * @category models
 */
export const Vm = Schema.Struct({
  version: Schema.Literal(1),
  run: Schema.String,
  config: VmConfig,
  createdAt: Schema.Number
})

/**
 * @since 0.1.0
 * @category models
 */
export type Vm = typeof Vm.Type
