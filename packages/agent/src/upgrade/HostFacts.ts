/**
 * What this host says of itself, read from /proc and /sys.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"

const read = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "utf8").trim()
  } catch {
    return undefined
  }
}

/**
 * Changes with every kernel that boots, kexec included.
 *
 * @since 0.1.0
 * @category accessors
 */
export const bootId: Effect.Effect<string> = Effect.sync(() => read("/proc/sys/kernel/random/boot_id") ?? "unknown")

/**
 * The running kernel's command line.
 *
 * @since 0.1.0
 * @category accessors
 */
export const commandLine: Effect.Effect<string> = Effect.sync(() => read("/proc/cmdline") ?? "")

/**
 * What the kernel's log says of its own start, in milliseconds of CLOCK_MONOTONIC.
 *
 * @since 0.1.0
 * @category models
 */
export interface KernelStart {
  /** Its first line. */
  readonly firstLine?: number
  /** When it handed over to its first process (`run_init_process` in `init/main.c`). */
  readonly firstProcess?: number
}

/**
 * Reads the kernel's log from its beginning to the first process; what it no longer reaches back to is missing.
 *
 * @since 0.1.0
 * @category accessors
 */
export const kernelStart: Effect.Effect<KernelStart> = Effect.sync(() => {
  // Each read of /dev/kmsg answers one record: "priority,sequence,microseconds,flags;text".
  const record = Buffer.alloc(8192)
  let found: KernelStart = {}
  let fd: number
  try {
    fd = Fs.openSync("/dev/kmsg", Fs.constants.O_RDONLY | Fs.constants.O_NONBLOCK)
  } catch {
    return found
  }
  try {
    for (;;) {
      const line = record.toString("utf8", 0, Fs.readSync(fd, record))
      const [, sequence, microseconds] = line.split(",", 3)
      if (sequence === "0") found = { firstLine: Number(microseconds) / 1000 }
      if (/;Run \S+ as init process/.test(line)) return { ...found, firstProcess: Number(microseconds) / 1000 }
    }
  } catch {
    return found
  } finally {
    Fs.closeSync(fd)
  }
})

/**
 * @since 0.1.0
 * @category models
 */
export type ProcessCost = {
  readonly peakResidentKiB: number
  /** Descriptors that are open now. */
  readonly openFiles: number
  /** Bytes that the process and the children it has waited for read and wrote through system calls. */
  readonly bytesRead: number
  readonly bytesWritten: number
}

/** The one that reads the directory is no part of the answer. */
const openFiles = (): number => Fs.readdirSync("/proc/self/fd").length - 1

/**
 * What this process cost: its peak resident memory in KiB, and the bytes that went through it, since `since` if that is
 * given; and how many files it has open. Guest RAM is in none of them: it is never read, copied or written by the agent.
 *
 * @since 0.1.0
 * @category accessors
 */
export const processCost = (since?: ProcessCost): Effect.Effect<ProcessCost> =>
  Effect.sync(() => {
    const field = (path: string, name: string) =>
      Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(read(path) ?? "")?.[1] ?? 0)
    return {
      peakResidentKiB: field("/proc/self/status", "VmHWM"),
      openFiles: openFiles(),
      bytesRead: field("/proc/self/io", "rchar") - (since?.bytesRead ?? 0),
      bytesWritten: field("/proc/self/io", "wchar") - (since?.bytesWritten ?? 0)
    }
  })
