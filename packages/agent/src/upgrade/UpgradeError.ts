/**
 * Why a live update didn't happen, or what is left to do after one.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { Step } from "./Event.ts"

/**
 * Something has to be put right before a live update can begin; nothing was touched.
 *
 * @since 0.1.0
 * @category errors
 */
export class PreconditionFailed extends Data.TaggedError("PreconditionFailed")<{
  readonly what: string
  readonly next: string
}> {
  override get message(): string {
    return `${this.what}. ${this.next}`
  }
}

/**
 * A step before the jump failed; every step before it was undone and the VMs run as before.
 *
 * @since 0.1.0
 * @category errors
 */
export class RolledBack extends Data.TaggedError("RolledBack")<{
  readonly step: Step
  readonly cause: unknown
  /** VMs that could not be given back running; empty unless the undo itself failed. */
  readonly notResumed: ReadonlyArray<{ readonly vm: string; readonly reason: string }>
}> {
  override get message(): string {
    const reason = this.cause instanceof Error ? this.cause.message : String(this.cause)
    const undone =
      this.notResumed.length === 0
        ? "Everything was undone and the VMs run as before."
        : `Not running again: ${this.notResumed.map((_) => `${_.vm} (${_.reason})`).join(", ")}. Run: agent resume`
    return `The live update stopped at ${this.step}: ${reason} ${undone}`
  }
}

/**
 * After the jump a VM could not be brought back. Its memory is kept: the session is in custody and can be retrieved again.
 *
 * @since 0.1.0
 * @category errors
 */
export class NeedsOperator extends Data.TaggedError("NeedsOperator")<{
  readonly vms: ReadonlyArray<{ readonly vm: string; readonly step: Step; readonly reason: string }>
}> {
  override get message(): string {
    const list = this.vms.map((_) => `${_.vm} failed at ${_.step}: ${_.reason}`).join("; ")
    return `After the jump: ${list}. The guest memory is kept, do not reboot. Remove the cause, then run: agent resume. Give a guest up: agent discard --vm ID`
  }
}
