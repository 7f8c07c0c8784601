/**
 * Whether a host can be trusted with a live update: what is seen of it, judged check by check. Changes nothing, and needs no VM.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { DoctorFacts, type Facts } from "./doctor/Facts.ts"
import { Check, type Finding, type Judgement, type Verdict } from "./doctor/Finding.ts"
import * as HostChecks from "./doctor/HostChecks.ts"
import * as KernelChecks from "./doctor/KernelChecks.ts"
import * as KexecChecks from "./doctor/KexecChecks.ts"
import * as MemoryChecks from "./doctor/MemoryChecks.ts"

const judges: { readonly [C in Check]: (facts: Facts) => Judgement } = {
  root: HostChecks.root,
  kernel: KernelChecks.kernel,
  "live-update": KernelChecks.liveUpdate,
  "device-holder": KernelChecks.deviceHolder,
  kho: KernelChecks.kho,
  abi: KernelChecks.abi,
  handlers: KernelChecks.handlers,
  memory: MemoryChecks.memory,
  "huge-pages": MemoryChecks.hugePages,
  lockdown: KexecChecks.lockdown,
  signatures: KexecChecks.signatures,
  kexec: KexecChecks.kexec,
  "kexec-loaded": KexecChecks.kexecLoaded,
  agent: HostChecks.agent,
  sessions: HostChecks.sessions,
  "last-run": HostChecks.lastRun,
  systemd: HostChecks.systemd,
  "resume-unit": HostChecks.resumeUnit,
  "early-start": HostChecks.earlyStart,
  directories: HostChecks.directories
}

/**
 * One finding for each check, in their order.
 *
 * @since 0.1.0
 * @category judgement
 */
export const judge = (facts: Facts): ReadonlyArray<Finding> =>
  Check.literals.map((check) => ({ check, ...judges[check](facts) }))

/**
 * What all findings come to: `fail` if one check failed, `warn` if there is something to know, `ok` otherwise.
 *
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  readonly verdict: "ok" | "warn" | "fail"
  /** How many checks ended which way. */
  readonly counts: { readonly [V in Verdict]: number }
  /** The checks that failed. */
  readonly failed: ReadonlyArray<Finding["check"]>
}

/**
 * @since 0.1.0
 * @category judgement
 */
export const summarize = (findings: ReadonlyArray<Finding>): Summary => {
  const count = (verdict: Verdict) => findings.filter((finding) => finding.verdict === verdict).length
  const counts = { ok: count("ok"), warn: count("warn"), fail: count("fail"), unknown: count("unknown") }
  return {
    verdict: counts.fail > 0 ? "fail" : counts.warn + counts.unknown > 0 ? "warn" : "ok",
    counts,
    failed: findings.flatMap(({ check, verdict }) => (verdict === "fail" ? [check] : []))
  }
}

/**
 * Looks at the host and judges it.
 *
 * @since 0.1.0
 * @category operations
 */
export const examine: Effect.Effect<ReadonlyArray<Finding>, never, DoctorFacts> = Effect.flatMap(DoctorFacts, (facts) =>
  Effect.map(facts.look, judge)
).pipe(Effect.withSpan("Doctor.examine"))
