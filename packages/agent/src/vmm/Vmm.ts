/**
 * The contract between the agent and any virtual machine monitor.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { VmConfig, VmPaths, VmProcess, VmRecord } from "./Vm.ts"
import type { VmmError } from "./VmmError.ts"

/**
 * What a VMM says of its VM.
 *
 * `paused`: stands still, can be saved or resumed. `saved`: stands still after {@link VmConnection.saveState}; `resume` takes it back.
 * `incoming`: waits for {@link VmConnection.loadState}. `down`: the guest has shut down or crashed.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmStatus {
  readonly state: "running" | "paused" | "saved" | "incoming" | "down"
  /** The VMM's own word for it, such as QEMU's `postmigrate`. */
  readonly detail: string
}

/**
 * What a transfer of device state took.
 *
 * @since 0.1.0
 * @category models
 */
export interface StateTransfer {
  readonly bytes: number
  readonly totalMs: number
}

/**
 * A line to a running VMM. It ends with its scope; the VMM lives on. A VMM serves one such line at a time.
 *
 * Every operation has a deadline and fails with `QmpTimeout` after it, with `VmmExited` when the process ended, with `QmpClosed` when
 * only the line did.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmConnection {
  readonly pid: number
  /** The guest RAM memfd's number in the VMM process. */
  readonly ramFd: number
  readonly status: Effect.Effect<VmStatus, VmmError>
  /** Why this VM can't be saved now, in the VMM's words; empty when it can. Ask before the pause. */
  readonly saveBlockers: Effect.Effect<ReadonlyArray<string>, VmmError>
  /** Stops the vCPUs and flushes the disks; returns when both are done. Harmless on a VM that stands still. */
  readonly pause: Effect.Effect<void, VmmError>
  /** Lets the vCPUs run, from `paused` and from `saved`; returns when the VM is running. Harmless on a running VM. */
  readonly resume: Effect.Effect<void, VmmError>
  /**
   * How much the vCPUs have run so far, in no unit: it grows when one of them runs, be it for a moment, and stays when all of them stand
   * still.
   */
  readonly activity: Effect.Effect<number, VmmError>
  /**
   * Writes the device state, without guest RAM, to the file behind this agent's descriptor `fd`, from offset 0. The VM has to be
   * paused; afterwards it is `saved` and its disk images are released. Fails with `VmmTransferFailed`, and the VM can be resumed then
   * as well.
   */
  readonly saveState: (fd: number) => Effect.Effect<StateTransfer, VmmError>
  /**
   * Reads device state from the file behind this agent's descriptor `fd`, from offset 0, into a VMM launched with `incoming`.
   * Afterwards the VM is `paused`. On failure the VMM is of no use any more: `quit` it and launch another.
   */
  readonly loadState: (fd: number) => Effect.Effect<StateTransfer, VmmError>
  /** Ends the VMM at once, as pulling the plug would; returns when the process is gone. */
  readonly quit: Effect.Effect<void, VmmError>
  /** Presses the power button: a request to the guest, which may take its time or ignore it. */
  readonly powerdown: Effect.Effect<void, VmmError>
  /** Returns when the VMM process is gone, whatever made it go. */
  readonly exited: Effect.Effect<void>
}

/**
 * How to launch.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchOptions {
  /** This agent's descriptor of the guest RAM memfd, of exactly `config.memoryBytes`. The VMM gets its own copy of it. */
  readonly ramFd: number
  /** `false`: boot the guest. `true`: stand still and wait for `loadState`; guest RAM is not touched. */
  readonly incoming: boolean
}

/**
 * A freshly started VMM: the process, and a line to it that is open already.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchedVm {
  readonly process: VmProcess
  readonly connection: VmConnection
}

/**
 * A driver of one kind of VMM.
 *
 * @since 0.1.0
 * @category services
 */
export class Vmm extends Context.Tag("@liveupdate/agent/vmm/Vmm")<
  Vmm,
  {
    /**
     * Starts a VMM in a session of its own, so that it outlives the agent (a systemd unit also needs `KillMode=process` for that).
     * When this returns the VMM answers. If it fails or is interrupted, the process it started is gone. The scope holds only the
     * connection. The directories of `paths` have to exist.
     */
    readonly launch: (
      config: VmConfig,
      paths: VmPaths,
      options: LaunchOptions
    ) => Effect.Effect<LaunchedVm, VmmError, Scope.Scope>
    /**
     * What `launch` runs for a VM that waits for its state, program first: for whoever starts one beforehand. It is started as `launch`
     * does it, in a session of its own, with `logPath` appended to as descriptors 1 and 2, guest RAM as `RAM_FD` and a socket that
     * listens at `qmpPath` as `MONITOR_FD`.
     */
    readonly incomingCommand: (config: VmConfig, paths: VmPaths) => ReadonlyArray<string>
    /**
     * Takes over a VMM that was started with `incomingCommand`; returns when it answers. Fails with `VmmExited` when it is gone. It stays
     * when this fails.
     */
    readonly adopt: (config: VmConfig, paths: VmPaths, pid: number) => Effect.Effect<LaunchedVm, VmmError, Scope.Scope>
    /** Connects to the VMM of a record. `VmmExited` when its process is gone (or its pid belongs to another process by now). */
    readonly connect: (record: VmRecord) => Effect.Effect<VmConnection, VmmError, Scope.Scope>
    /** Whether the process of a record still lives. */
    readonly isRunning: (record: Pick<VmRecord, "pid" | "pidStartTime">) => Effect.Effect<boolean>
  }
>() {}
