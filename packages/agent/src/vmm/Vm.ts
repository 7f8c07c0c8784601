/**
 * The plain facts of a virtual machine: how it is configured, where its files are, which process it is.
 *
 * Everything here is data that survives `JSON.stringify`: records are written to disk, and a copy of the configuration travels with
 * the guest's memory. No Schema here: the resume path loads this module while the guest stands still.
 *
 * @since 0.1.0
 */

/**
 * What a VM may be called. It becomes a directory's name and part of a session's name (63 bytes at most).
 *
 * @since 0.1.0
 * @category constants
 */
export const VM_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$/

/**
 * Where a VM's instructions are executed.
 *
 * @since 0.1.0
 * @category models
 */
export type Accelerator = "kvm" | "tcg"

/**
 * Host page cache mode of a disk. `none` opens the image with O_DIRECT, so the pause has nothing big to flush. QEMU's `unsafe` is not
 * offered: it ignores flushes, and a kexec drops whatever is only in the host's page cache.
 *
 * @since 0.1.0
 * @category models
 */
export type DiskCache = "none" | "writeback" | "writethrough"

/**
 * A disk image as the VMM opens it.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmDisk {
  /** Absolute path of the image file or block device. */
  readonly path: string
  readonly format: "raw" | "qcow2"
  readonly readonly: boolean
  readonly cache: DiskCache
  /** At most 20 bytes: the limit of virtio-blk. */
  readonly serial?: string
}

/**
 * A resolved VM configuration: defaults filled in, paths absolute. The same value starts the VM fresh and, after the jump, again.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmConfig {
  readonly id: string
  /** Guest RAM in bytes: exactly the size of the RAM memfd. */
  readonly memoryBytes: number
  readonly cpus: number
  /**
   * Machine type, with options after a comma if any. An alias such as `q35` becomes the versioned name (`pc-q35-7.2`) once the VMM has
   * started: the alias may mean another machine to the next VMM binary, and its saved state would not load there.
   */
  readonly machine: string
  readonly accelerator: Accelerator
  readonly cpu: string
  readonly kernel?: string
  readonly initrd?: string
  readonly cmdline?: string
  readonly disks: ReadonlyArray<VmDisk>
  /** Absolute path of the VMM's binary. */
  readonly binary: string
  /** Extra VMM arguments, put last. */
  readonly args: ReadonlyArray<string>
  /** A program of the operator's, with arguments, that says after a live update whether the guest is well: exit code 0. */
  readonly check?: ReadonlyArray<string>
}

/**
 * The files of one VM. State survives a kexec; the runtime directory (tmpfs) does not.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmPaths {
  readonly stateDir: string
  readonly runtimeDir: string
  /** What the guest wrote to its serial console; appended to across live updates. */
  readonly consolePath: string
  /** What the VMM itself wrote to stdout and stderr. */
  readonly logPath: string
  readonly qmpPath: string
}

/**
 * The number under which a VMM started by this agent holds the guest's RAM memfd.
 *
 * @since 0.1.0
 * @category constants
 */
export const RAM_FD = 3

/**
 * The number under which such a VMM inherits its listening monitor socket.
 *
 * @since 0.1.0
 * @category constants
 */
export const MONITOR_FD = 4

/**
 * A VMM process. Boot and start time tell it from another process that got the same pid later: after a kexec pids begin anew, and so does
 * the clock that start times are measured by.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmProcess {
  readonly pid: number
  /** Opaque, to be compared only: the boot's id and field 22 of `/proc/PID/stat`. */
  readonly pidStartTime: string
  /** The RAM memfd's number in that process. */
  readonly ramFd: number
  /** The configuration it runs, with what only the VMM could resolve (see {@link VmConfig.machine}). Record this one. */
  readonly config: VmConfig
}

/**
 * What the agent remembers of a VM between commands and across the jump.
 *
 * @since 0.1.0
 * @category models
 */
export interface VmRecord extends VmPaths, VmProcess {
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly createdAt: number
}

/**
 * Joins what is known of a VM into its record.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeRecord = (paths: VmPaths, process: VmProcess, createdAt: number): VmRecord => ({
  id: process.config.id,
  config: process.config,
  pid: process.pid,
  pidStartTime: process.pidStartTime,
  ramFd: process.ramFd,
  stateDir: paths.stateDir,
  runtimeDir: paths.runtimeDir,
  consolePath: paths.consolePath,
  logPath: paths.logPath,
  qmpPath: paths.qmpPath,
  createdAt
})
