/**
 * What the phases after the jump have in common: the run, and what each VM has so far.
 *
 * @since 0.1.0
 */
import type * as Memfd from "@liveupdate/sdk/Memfd"
import type { IncomingSession } from "@liveupdate/sdk/Session"
import type * as Effect from "effect/Effect"
import type { VmPaths } from "../vmm/Vm.ts"
import type { LaunchedVm } from "../vmm/Vmm.ts"
import type * as Handover from "./Handover.ts"
import type * as Hooks from "./Hooks.ts"
import type { RunLog } from "./RunLog.ts"

/**
 * A VM on its way back. What a phase makes lives in the VM's scope.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReturningVm {
  readonly id: string
  readonly session: string
  /** It has come back, or was given up, on an earlier try. */
  settled?: boolean
  retrieved?: {
    readonly session: IncomingSession
    readonly vm: Handover.Vm
    readonly ram: Memfd.Managed
    readonly state: Memfd.Managed
  }
  started?: LaunchedVm & {
    readonly paths: VmPaths
    /** An agent that was killed has brought it so far. */
    readonly running: boolean
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Returning {
  readonly log: RunLog
  readonly hooks: Hooks.Hooks
  /** The host's own hook, once for all VMs. */
  readonly postBoot: Effect.Effect<void, Hooks.HookFailed>
  /** The operator has seen that the guests are alive. */
  readonly unverified: boolean
}

/**
 * What a hook is told of a VM.
 *
 * @since 0.1.0
 * @category accessors
 */
export const about = ({ log }: Returning, { id, started }: ReturningVm): Hooks.About => ({
  run: log.run,
  vm: id,
  ...(started === undefined ? {} : { vmmPid: started.process.pid })
})

const missing = ({ id }: ReturningVm, what: string): never => {
  throw new Error(`VM ${id} ${what}`)
}

/**
 * What was retrieved; the order of phases is the machine's to keep.
 *
 * @since 0.1.0
 * @category accessors
 */
export const retrieved = (vm: ReturningVm): NonNullable<ReturningVm["retrieved"]> =>
  vm.retrieved ?? missing(vm, "is not retrieved yet")

/**
 * Its VMM; the order of phases is the machine's to keep.
 *
 * @since 0.1.0
 * @category accessors
 */
export const started = (vm: ReturningVm): NonNullable<ReturningVm["started"]> =>
  vm.started ?? missing(vm, "has no VMM yet")
