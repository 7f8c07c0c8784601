/**
 * Everything that goes wrong between the agent and a VMM, as one closed family.
 *
 * `Data.TaggedError` and not Schema: these are loaded by the resume path.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * How a process ended; `unknown` when it was not a child of this agent.
 *
 * @since 0.1.0
 * @category models
 */
export type ProcessExit =
  | { readonly _tag: "code"; readonly code: number }
  | { readonly _tag: "signal"; readonly signal: string }
  | { readonly _tag: "unknown" }

const describeExit = (exit: ProcessExit): string => {
  switch (exit._tag) {
    case "code":
      return `exited with code ${exit.code}`
    case "signal":
      return `was killed by ${exit.signal}`
    case "unknown":
      return "is gone"
  }
}

/**
 * The VMM could not be started at all: binary missing, log not writable, no process to be had.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmmStartFailed extends Data.TaggedError("VmmStartFailed")<{
  readonly vm: string
  readonly operation: string
  readonly path: string
  readonly reason: string
}> {
  override get message(): string {
    return `VM ${this.vm}: can't start its VMM: ${this.operation} ${this.path}: ${this.reason}`
  }
}

/**
 * The VMM process ended while it was needed. Its last words are in `logTail`.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmmExited extends Data.TaggedError("VmmExited")<{
  readonly vm: string
  readonly pid: number
  readonly exit: ProcessExit
  readonly logPath: string
  readonly logTail: ReadonlyArray<string>
}> {
  override get message(): string {
    const last = this.logTail.at(-1)
    return `VM ${this.vm}: VMM process ${this.pid} ${describeExit(this.exit)}${last === undefined ? "" : `: ${last}`} (see ${this.logPath})`
  }
}

/**
 * The VMM is in another state than the operation left it in or needs.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmmStateUnexpected extends Data.TaggedError("VmmStateUnexpected")<{
  readonly vm: string
  readonly operation: string
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `VM ${this.vm}: ${this.operation}: expected the VM to be ${this.expected}, it is ${this.actual}`
  }
}

/**
 * Saving or loading the device state failed; `reason` is the VMM's own.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmmTransferFailed extends Data.TaggedError("VmmTransferFailed")<{
  readonly vm: string
  readonly direction: "save" | "load"
  readonly reason: string
}> {
  override get message(): string {
    return `VM ${this.vm}: can't ${this.direction} device state: ${this.reason}`
  }
}

/**
 * The QMP socket could not be connected to.
 *
 * @since 0.1.0
 * @category errors
 */
export class QmpConnectFailed extends Data.TaggedError("QmpConnectFailed")<{
  readonly path: string
  readonly code: string
}> {
  override get message(): string {
    return `can't connect to the VMM's monitor ${this.path}: ${this.code}`
  }
}

/**
 * The QMP connection ended while `operation` was waiting for its answer.
 *
 * @since 0.1.0
 * @category errors
 */
export class QmpClosed extends Data.TaggedError("QmpClosed")<{
  readonly path: string
  readonly operation: string
}> {
  override get message(): string {
    return `the VMM closed its monitor ${this.path} during ${this.operation}`
  }
}

/**
 * The VMM did not answer in time. A monitor serves one client at a time: `greeting` timing out often means that another one holds it.
 *
 * @since 0.1.0
 * @category errors
 */
export class QmpTimeout extends Data.TaggedError("QmpTimeout")<{
  readonly path: string
  readonly operation: string
  readonly deadlineMs: number
}> {
  override get message(): string {
    const hint = this.operation === "greeting" ? "; another client may hold the monitor" : ""
    return `no answer from the VMM's monitor ${this.path} to ${this.operation} within ${this.deadlineMs} ms${hint}`
  }
}

/**
 * The VMM refused a command.
 *
 * @since 0.1.0
 * @category errors
 */
export class QmpCommandFailed extends Data.TaggedError("QmpCommandFailed")<{
  readonly path: string
  readonly command: string
  readonly errorClass: string
  readonly description: string
}> {
  override get message(): string {
    return `the VMM refused ${this.command}: ${this.description}`
  }
}

/**
 * What came over the QMP socket is not QMP.
 *
 * @since 0.1.0
 * @category errors
 */
export class QmpProtocolError extends Data.TaggedError("QmpProtocolError")<{
  readonly path: string
  readonly operation: string
  readonly received: string
}> {
  override get message(): string {
    return `the VMM's monitor ${this.path} sent something that is not QMP during ${this.operation}: ${this.received}`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export type QmpError = QmpConnectFailed | QmpClosed | QmpTimeout | QmpCommandFailed | QmpProtocolError

/**
 * @since 0.1.0
 * @category errors
 */
export type VmmError = VmmStartFailed | VmmExited | VmmStateUnexpected | VmmTransferFailed | QmpError
