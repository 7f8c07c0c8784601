/**
 * What `agent doctor` looks at: the machine's own words, unjudged. Where text has a meaning of its own, such as a file of /proc, the fact is
 * that text.
 *
 * @since 0.1.0
 */
import type { Capabilities } from "@liveupdate/sdk/Capabilities"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/**
 * A fact, or why there is none: `absent` is a file that doesn't exist, `unknown` anything else.
 *
 * @since 0.1.0
 * @category models
 */
export type Fact<A> =
  | { readonly _tag: "known"; readonly value: A }
  | { readonly _tag: "absent"; readonly path: string }
  | { readonly _tag: "unknown"; readonly reason: string }

/**
 * @since 0.1.0
 * @category constructors
 */
export const known = <A>(value: A): Fact<A> => ({ _tag: "known", value })

/**
 * @since 0.1.0
 * @category constructors
 */
export const absent = (path: string): Fact<never> => ({ _tag: "absent", path })

/**
 * @since 0.1.0
 * @category constructors
 */
export const unknown = (reason: string): Fact<never> => ({ _tag: "unknown", reason })

/**
 * The value, if there is one.
 *
 * @since 0.1.0
 * @category accessors
 */
export const value = <A>(fact: Fact<A>): A | undefined => (fact._tag === "known" ? fact.value : undefined)

/**
 * Why there is no value.
 *
 * @since 0.1.0
 * @category accessors
 */
export const reasonOf = (fact: Exclude<Fact<unknown>, { readonly _tag: "known" }>): string =>
  fact._tag === "absent" ? `there is no ${fact.path}` : fact.reason

/**
 * A process as a person looks for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Process {
  readonly pid: number
  /** /proc/PID/comm: at most 15 bytes. */
  readonly name: string
}

/**
 * A session that a process has open.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenSession {
  readonly session: string
  readonly process: Process
}

/**
 * Guest RAM of a VM that runs; bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Guest {
  readonly id: string
  readonly memoryBytes: number
  /** What of it the guest has touched: the rest is allocated when it is preserved. */
  readonly allocatedBytes: number
}

/**
 * A directory that is to be root's alone.
 *
 * @since 0.1.0
 * @category models
 */
export interface Directory {
  readonly path: string
  readonly uid: number
  /** Permission bits. */
  readonly mode: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Facts {
  readonly root: boolean
  /** As `uname -r` and `uname -m`. */
  readonly release: string
  readonly machine: string
  readonly commandLine: string
  /** The kernel's build configuration. */
  readonly config: Fact<string>
  /** Whether the device could be opened; `skipped` says why it wasn't tried. */
  readonly device:
    | { readonly _tag: "usable" }
    | { readonly _tag: "refused"; readonly error: LiveUpdateError }
    | { readonly _tag: "skipped"; readonly reason: string }
  readonly deviceHolders: Fact<ReadonlyArray<Process>>
  readonly sessions: Fact<ReadonlyArray<OpenSession>>
  readonly capabilities: Fact<Capabilities>
  /**
   * Files of /sys/kernel/debug/kho (`kernel/liveupdate/kexec_handover_debugfs.c`): the lengths of the scratch areas, the handover's
   * tree, and LUO's part of it.
   */
  readonly scratch: Fact<string>
  readonly khoTree: Fact<string>
  readonly luoState: Fact<string>
  /** /proc/meminfo */
  readonly meminfo: Fact<string>
  readonly guests: Fact<ReadonlyArray<Guest>>
  /** Bytes of the running kernel's image, of Node, and of the second half's start-up snapshot. */
  readonly imageBytes: Fact<number>
  readonly nodeBytes: Fact<number>
  readonly snapshotBytes: Fact<number>
  /** /sys/kernel/mm/transparent_hugepage/shmem_enabled */
  readonly hugePages: Fact<string>
  /** /sys/kernel/security/lockdown */
  readonly lockdown: Fact<string>
  /** /proc/sys/kernel/kexec_load_disabled, kexec_load_limit_reboot */
  readonly kexecDisabled: Fact<string>
  readonly kexecLoadsLeft: Fact<string>
  /** /sys/kernel/kexec_loaded */
  readonly kexecLoaded: Fact<string>
  /** Who has the host's lock. */
  readonly lockHolder: Fact<Process | undefined>
  /** The run that the journal says was begun on this boot, and not ended. */
  readonly pendingRun: Fact<string>
  /** The last run that was logged, and its outcome's result. */
  readonly lastRun: Fact<{ readonly run: string; readonly result: string | undefined }>
  /** /proc/1/comm */
  readonly firstProcess: Fact<string>
  /** Where the unit is; `masked` when systemd was told to ignore it. */
  readonly unit: Fact<{ readonly path: string; readonly masked: boolean }>
  /** The links that enable it. */
  readonly unitWantedBy: ReadonlyArray<string>
  /** The program that the unit and the first process start, and whether it may be executed. */
  readonly early: Fact<boolean>
  /** The mark that a first process leaves which starts the second half from memory. */
  readonly firstProcessMark: Fact<string>
  readonly directories: ReadonlyArray<Fact<Directory>>
}

/**
 * Looks at the machine; never fails, changes nothing.
 *
 * @since 0.1.0
 * @category services
 */
export class DoctorFacts extends Context.Tag("@liveupdate/agent/upgrade/doctor/DoctorFacts")<
  DoctorFacts,
  { readonly look: Effect.Effect<Facts> }
>() {}

/**
 * Facts that somebody made up, for tests.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (look: Effect.Effect<Facts>): Layer.Layer<DoctorFacts> => Layer.succeed(DoctorFacts, { look })
