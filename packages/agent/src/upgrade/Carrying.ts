/**
 * What the phases before the jump have in common: the run, and what each VM has so far.
 *
 * @since 0.1.0
 */
import type * as Memfd from "@liveupdate/sdk/Memfd"
import type * as Preservation from "@liveupdate/sdk/Preservation"
import type * as Hooks from "./Hooks.ts"
import type * as Preflight from "./Preflight.ts"
import type { RunLog } from "./RunLog.ts"

/**
 * A VM on its way to the jump. What a phase makes lives in that phase's scope, and is there for those that come after it.
 *
 * @since 0.1.0
 * @category models
 */
export interface CarriedVm extends Preflight.Target {
  made?: {
    readonly preservation: Preservation.Preservation
    readonly state: Memfd.Memfd
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Carrying {
  readonly options: Preflight.UpgradeOptions
  readonly log: RunLog
  readonly hooks: Hooks.Hooks
  /** The next kernel's, and what its file was like before it was looked into. */
  readonly image: { readonly path: string; readonly state: string }
  /** By id; without those that are left behind. */
  readonly vms: Map<string, CarriedVm>
}

/**
 * What a hook is told of a VM.
 *
 * @since 0.1.0
 * @category accessors
 */
export const about = ({ log }: Carrying, { record }: CarriedVm): Hooks.About => ({
  run: log.run,
  vm: record.id,
  vmmPid: record.pid
})

/**
 * What the VM's earlier phases have made; the order of phases is the machine's to keep.
 *
 * @since 0.1.0
 * @category accessors
 */
export const made = (vm: CarriedVm): NonNullable<CarriedVm["made"]> => {
  if (vm.made === undefined) throw new Error(`VM ${vm.record.id} has no session yet`)
  return vm.made
}
