/**
 * The ways to the next kernel: what each of them costs, and how what it does differently is undone.
 *
 * @since 0.1.0
 */
import type { Event } from "./Event.ts"
import { find, isStep } from "./StepEvents.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type JumpWay = "direct" | "systemd"

/**
 * @since 0.1.0
 * @category models
 */
export interface Description {
  /** In a few words. */
  readonly by: string
  /** One sentence each. */
  readonly costs: ReadonlyArray<string>
  /** How the phases are undone in which the ways differ. */
  readonly undo: { readonly "load-kernel": string; readonly jump: string }
  /** From where nothing is undone any more. */
  readonly irreversible: string
}

/**
 * @since 0.1.0
 * @category constants
 */
export const descriptions: Readonly<Record<JumpWay, Description>> = {
  direct: {
    by: "the agent makes the reboot call at once",
    costs: [
      "services end as in a power cut, after everything is on the disks",
      "what services have stored with systemd is lost",
      "the shortest blackout: the second half and the VMMs are sent along, and start before systemd"
    ],
    undo: {
      "load-kernel": "the next kernel is unloaded, what was sent along is given back",
      jump: "none: it can't be undone; a kernel that refuses the reboot call is still here, and everything is undone"
    },
    irreversible: "the jump: kexec takes the whole host, and everything on it that is not carried ends"
  },
  systemd: {
    by: "systemctl kexec",
    costs: [
      "services are stopped in order and file systems unmounted, while the guests stand still: what that takes is added to the blackout",
      "what units with FileDescriptorStorePreserve=yes have stored with systemd lives",
      "a longer blackout: systemd is first at the device, and starts the second half"
    ],
    undo: {
      "load-kernel": "the next kernel is unloaded, liveupdate-resume.service is stopped, its store emptied",
      jump: "none once systemctl kexec has returned; if the host stays, systemd is told to let it be, and services that it has stopped stay stopped"
    },
    irreversible:
      "the jump, from the moment that systemctl kexec has returned: services stop, kexec takes the whole host, and everything on it that is not carried or stored ends"
  }
}

/**
 * The way that a live update takes, by what it was given to go another one than directly.
 *
 * @since 0.1.0
 * @category constructors
 */
export const of = (jump: unknown): JumpWay => (jump === undefined ? "direct" : "systemd")

/**
 * The way that a run took; there was only one when they didn't say so.
 *
 * @since 0.1.0
 * @category accessors
 */
export const taken = (events: ReadonlyArray<Event>): JumpWay =>
  find(events.filter(isStep), "jump", "started")?.detail?.["way"] === "systemd" ? "systemd" : "direct"
