/**
 * Why a live update didn't happen, or what is left to do after one.
 *
 * @since 0.1.0
 */
import type { HandoverUnreadable } from "@liveupdate/sdk/LiveUpdateError"
import * as Data from "effect/Data"

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
  /** The phase that went wrong. */
  readonly step: string
  readonly cause: unknown
  /** VMs that could not be given back running; empty unless the undo itself failed. */
  readonly notResumed: ReadonlyArray<{ readonly vm: string; readonly reason: string }>
}> {
  override get message(): string {
    const reason = this.cause instanceof Error ? this.cause.message : String(this.cause)
    const undone =
      this.notResumed.length === 0
        ? "Everything was undone and the VMs run as before."
        : `Everything else was undone. Not running again: ${this.notResumed.map((_) => `${_.vm} (${_.reason})`).join(", ")}. Run: agent resume`
    return `The live update stopped at ${this.step}: ${/[.!?]$/.test(reason) ? reason : `${reason}.`} ${undone}`
  }
}

/**
 * After the jump a VM could not be brought back. Its memory is kept: the session is in custody and can be retrieved again.
 *
 * @since 0.1.0
 * @category errors
 */
export class NeedsOperator extends Data.TaggedError("NeedsOperator")<{
  readonly vms: ReadonlyArray<{ readonly vm: string; readonly step: string; readonly reason: string }>
}> {
  override get message(): string {
    const list = this.vms.map((_) => `${_.vm} failed at ${_.step}: ${_.reason}`).join("; ")
    return `After the jump: ${list}. The guest memory is kept, do not reboot. Remove the cause, then run: agent resume. Give a guest up: agent discard --vm ID`
  }
}

/**
 * The kernel after the jump can't read what the one before it handed over: nothing can be brought back, and nothing waits.
 *
 * @since 0.1.0
 * @category errors
 */
export class GuestsLost extends Data.TaggedError("GuestsLost")<{
  /** The run that has jumped; `undefined` where no journal tells of it. */
  readonly run: string | undefined
  /** Those that were on their way. */
  readonly vms: ReadonlyArray<string>
  readonly cause: HandoverUnreadable
}> {
  override get message(): string {
    const { operation, errno } = this.cause
    const whose = this.vms.length === 0 ? "all guests that it carried" : this.vms.join(", ")
    return (
      `This kernel can't read what the one before it handed over [${operation}: ${errno}], so the memory of ${whose} is lost: they ended as in a power cut. ` +
      "See why: dmesg | grep -i luo. Start them again: agent vm start. " +
      "Until this host is rebooted it keeps the lost memory occupied, and can't go through another live update"
    )
  }
}

/**
 * The journal of a run can't be trusted, so nothing was done that it says. The run may have left VMs standing still.
 *
 * @since 0.1.0
 * @category errors
 */
export class JournalCorrupt extends Data.TaggedError("JournalCorrupt")<{
  readonly reason: string
  /** Where it is now. */
  readonly keptAt: string
  /** VMs that stand still, by whomever. */
  readonly standing: ReadonlyArray<string>
}> {
  override get message(): string {
    const next =
      this.standing.length === 0
        ? "No VM stands still."
        : `These VMs stand still: ${this.standing.join(", ")}. Let them run: agent resume ${this.standing.map((id) => `--vm ${id}`).join(" ")}`
    return `The journal of the last live update is damaged (${this.reason}); it is kept at ${this.keptAt} and was not obeyed. ${next}`
  }
}

/**
 * VMs that an interrupted live update left standing still, and that could not be given back. It is noted still.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotGivenBack extends Data.TaggedError("NotGivenBack")<{
  readonly vms: ReadonlyArray<{ readonly vm: string; readonly reason: string }>
}> {
  override get message(): string {
    const list = this.vms.map((_) => `${_.vm} (${_.reason})`).join("; ")
    return `These VMs don't run again: ${list}. Remove the cause, then run: agent resume`
  }
}

/**
 * systemd didn't do what a jump through it needs.
 *
 * @since 0.1.0
 * @category errors
 */
export class SystemdRefused extends Data.TaggedError("SystemdRefused")<{
  readonly command: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.command} failed: ${this.detail}. Look at: journalctl -b _PID=1, or jump without systemd: --jump direct`
  }
}

/**
 * systemd took the order, and the host is still here.
 *
 * @since 0.1.0
 * @category errors
 */
export class HostStayed extends Data.TaggedError("HostStayed")<{ readonly patience: string; readonly jobs: string }> {
  override get message(): string {
    return `systemd took the order to go to the next kernel and did not go within ${this.patience}; it was told to let it be, services that it has stopped stay stopped. It waited for: ${this.jobs}. See: systemctl list-jobs, systemctl --failed`
  }
}
