/**
 * What `agent doctor` says of one thing that it has looked at.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * `ok`; `warn`: a live update works, but worse than it could, or something waits for the operator; `fail`: it would be refused, or
 * nobody would bring the VMs back; `unknown`: it could not be found out.
 *
 * @since 0.1.0
 * @category models
 */
export const Verdict = Schema.Literal("ok", "warn", "fail", "unknown")

/**
 * @since 0.1.0
 * @category models
 */
export type Verdict = typeof Verdict.Type

/**
 * The checks, in the order in which they are shown. Their names are stable: scripts depend on them.
 *
 * @since 0.1.0
 * @category models
 */
export const Check = Schema.Literal(
  "root",
  "kernel",
  "live-update",
  "device-holder",
  "kho",
  "abi",
  "handlers",
  "memory",
  "huge-pages",
  "lockdown",
  "signatures",
  "kexec",
  "kexec-loaded",
  "agent",
  "sessions",
  "last-run",
  "systemd",
  "resume-unit",
  "early-start",
  "directories"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Check = typeof Check.Type

/**
 * The checks of the next kernel's image, where one is named.
 *
 * @since 0.1.0
 * @category models
 */
export const TargetCheck = Schema.Literal(
  "target-image",
  "target-config",
  "target-kho",
  "target-luo",
  "target-memfd",
  "target-handlers"
)

/**
 * @since 0.1.0
 * @category models
 */
export type TargetCheck = typeof TargetCheck.Type

/**
 * A check's result. `detail` says what was seen, with units; `next` what to do, and is there unless all is well.
 *
 * @since 0.1.0
 * @category models
 */
export const Finding = Schema.Struct({
  check: Schema.Union(Check, TargetCheck),
  verdict: Verdict,
  detail: Schema.String,
  next: Schema.optionalWith(Schema.String, { exact: true })
})

/**
 * @since 0.1.0
 * @category models
 */
export type Finding = typeof Finding.Type

/**
 * A finding without the name of its check.
 *
 * @since 0.1.0
 * @category models
 */
export type Judgement = Omit<Finding, "check">

/**
 * @since 0.1.0
 * @category constructors
 */
export const ok = (detail: string): Judgement => ({ verdict: "ok", detail })

/**
 * @since 0.1.0
 * @category constructors
 */
export const warn = (detail: string, next: string): Judgement => ({ verdict: "warn", detail, next })

/**
 * @since 0.1.0
 * @category constructors
 */
export const fail = (detail: string, next: string): Judgement => ({ verdict: "fail", detail, next })

/**
 * @since 0.1.0
 * @category constructors
 */
export const unknown = (detail: string, next: string): Judgement => ({ verdict: "unknown", detail, next })
