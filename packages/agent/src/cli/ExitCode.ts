/**
 * What the agent's exit code says. Documented in README.md; scripts depend on it.
 *
 * @since 0.1.0
 */
import type { Result } from "../upgrade/Event.ts"

/**
 * @since 0.1.0
 * @category constants
 */
export const ExitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 4,
  /** Something has to be put right first; nothing was touched. Of `agent doctor`: a check failed. */
  precondition: 5,
  /** The live update was undone; the VMs run as before. */
  rolledBack: 6,
  /** After the jump: a VM is not back, its memory kept; nobody but the operator can go on. */
  needsOperator: 7,
  /** After the jump: guests have ended as in a power cut, and nothing of them waits any more. */
  lost: 8,
  /** Whoever read the output of a command on a QEMU host has gone: 128 + SIGPIPE. */
  outputClosed: 141
} as const

const byTag: Readonly<Record<string, number>> = {
  VmNotFound: ExitCode.notFound,
  RunNotFound: ExitCode.notFound,
  HostNotRunning: ExitCode.notFound,
  NotFound: ExitCode.notFound,
  NotParked: ExitCode.notFound,
  VmSpecInvalid: ExitCode.usage,
  UsageError: ExitCode.usage,
  ConfigurationInvalid: ExitCode.usage,
  ConfigurationUnsafe: ExitCode.precondition,
  HooksUnsafe: ExitCode.precondition,
  PreconditionFailed: ExitCode.precondition,
  CantListen: ExitCode.precondition,
  NotWritten: ExitCode.precondition,
  AccountsUnreadable: ExitCode.precondition,
  WouldBeRefused: ExitCode.precondition,
  NotAKernel: ExitCode.precondition,
  VmAlreadyRunning: ExitCode.precondition,
  DeviceBusy: ExitCode.precondition,
  DeviceMissing: ExitCode.precondition,
  PermissionDenied: ExitCode.precondition,
  HostLocked: ExitCode.precondition,
  RolledBack: ExitCode.rolledBack,
  NeedsOperator: ExitCode.needsOperator,
  NotGivenBack: ExitCode.needsOperator,
  JournalCorrupt: ExitCode.needsOperator,
  GuestsLost: ExitCode.lost,
  // Of whoever would use the device for something new.
  HandoverUnreadable: ExitCode.precondition,
  // Only a resume reads what was handed over; all mean that memory waits for somebody to decide.
  ManifestInvalid: ExitCode.needsOperator,
  FilesDiffer: ExitCode.needsOperator,
  SessionAlreadyRetrieved: ExitCode.needsOperator
}

const byResult: Readonly<Record<string, number>> = {
  upgraded: ExitCode.ok,
  "dry-run": ExitCode.ok,
  "rolled-back": ExitCode.rolledBack,
  "needs-operator": ExitCode.needsOperator,
  "cold-boot": ExitCode.lost,
  lost: ExitCode.lost
} satisfies Readonly<Record<Result, number>>

/**
 * The exit code for a live update that was watched to its end; one that nobody saw the end of waits for somebody to look.
 *
 * @since 0.1.0
 * @category accessors
 */
export const fromResult = (result = "unknown"): number => byResult[result] ?? ExitCode.needsOperator

/**
 * The exit code for a failure.
 *
 * @since 0.1.0
 * @category accessors
 */
export const fromError = (error: unknown): number => {
  if (typeof error !== "object" || error === null || !("_tag" in error) || typeof error._tag !== "string")
    return ExitCode.failed
  if (error._tag === "KernelImageInvalid")
    return "reason" in error && error.reason === "missing" ? ExitCode.notFound : ExitCode.precondition
  if (error._tag === "VmSpecUnreadable" || error._tag === "ConfigurationUnreadable")
    return "code" in error && error.code === "ENOENT" ? ExitCode.notFound : ExitCode.precondition
  if (error._tag === "CommandFailed")
    return "reason" in error && error.reason === "missing" ? ExitCode.precondition : ExitCode.failed
  if (error._tag === "JoinedRunFailed" && "result" in error) return fromResult(String(error.result))
  // An undo that didn't bring every guest back is the operator's to complete.
  if (
    error._tag === "RolledBack" &&
    "notResumed" in error &&
    Array.isArray(error.notResumed) &&
    error.notResumed.length > 0
  )
    return ExitCode.needsOperator
  return byTag[error._tag] ?? ExitCode.failed
}
