/** How a case is written, and what cases have in common. */
import { assert } from "@effect/vitest"
import * as LiveUpdateError from "@liveupdate/sdk/LiveUpdateError"
import * as Facts from "../../../src/upgrade/doctor/Facts.ts"
import type { Check, Finding, Verdict } from "../../../src/upgrade/doctor/Finding.ts"

/** What differs from a healthy host, what the check says of it, and words of its detail and of what to do. */
export type Case = readonly [what: string, facts: Partial<Facts.Facts>, verdict: Verdict, detail: string, next?: string]

/** A finding is what a case says of it. */
export const assertFinding = (
  finding: Finding | undefined,
  ...[verdict, detail, next]: readonly [verdict: Verdict, detail: string, next?: string]
) => {
  if (finding === undefined) return assert.fail("there is no finding")
  assert.strictEqual(finding.verdict, verdict, finding.detail)
  assert.include(finding.detail, detail)
  // Whoever reads that something isn't as it should be reads what to do.
  assert.strictEqual(finding.next === undefined, verdict === "ok", finding.next)
  if (next !== undefined) assert.include(finding.next, next)
  assert.notInclude(`${finding.detail}${finding.next}`, "\n")
}

export type Cases = { readonly [C in Check]?: ReadonlyArray<Case> }

const opening = (errno: string) => ({ operation: "device.open", errno, path: "/dev/liveupdate" }) as const
const refused = (error: LiveUpdateError.LiveUpdateError) => ({ device: { _tag: "refused", error } }) as const

/** What opening the device is answered. */
export const missing = refused(new LiveUpdateError.DeviceMissing(opening("ENOENT")))
export const busy = refused(new LiveUpdateError.DeviceBusy(opening("EBUSY")))
export const denied = refused(new LiveUpdateError.PermissionDenied(opening("EACCES")))
export const unreadable = refused(new LiveUpdateError.HandoverUnreadable(opening("EIO")))

export const noDebugfs = Facts.absent("/sys/kernel/debug/kho/out/scratch_len")
export const eacces = Facts.unknown("it can't be read (EACCES)")
export const other = { pid: 812, name: "vmmd" }
