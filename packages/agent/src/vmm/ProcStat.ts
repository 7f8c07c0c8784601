/**
 * Which process a pid is, read from `/proc`.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"

/**
 * @since 0.1.0
 * @category models
 */
export interface ProcStat {
  /** Field 3: `R`, `S`, `D`, `Z` … */
  readonly state: string
  /** Field 22: clock ticks between boot and the start of the process. */
  readonly startTime: string
}

/**
 * Reads the two fields out of `/proc/PID/stat`. The command's name (field 2) may itself hold blanks and parentheses: count from the last
 * one.
 *
 * @since 0.1.0
 * @category decoding
 */
export const parse = (text: string): ProcStat | undefined => {
  const close = text.lastIndexOf(")")
  if (close === -1) return undefined
  const fields = text.slice(close + 2).split(" ")
  const [state, startTime] = [fields[0], fields[19]]
  return state === undefined || state === "" || startTime === undefined ? undefined : { state, startTime }
}

/** Start times count from boot: two boots can well give the same pid the same one. */
const identity = (stat: ProcStat): string =>
  `${fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}/${stat.startTime}`

const readSync = (pid: number): ProcStat | undefined => {
  try {
    return parse(fs.readFileSync(`/proc/${pid}/stat`, "latin1"))
  } catch {
    return undefined
  }
}

/**
 * What tells this process from every other, ever, of the same pid; `undefined` when there is none of that pid.
 *
 * @since 0.1.0
 * @category observing
 */
export const startTime = (pid: number): Effect.Effect<string | undefined> =>
  Effect.sync(() => {
    const stat = readSync(pid)
    return stat === undefined ? undefined : identity(stat)
  })

/**
 * Ticks that a thread ran, and times that it was switched; zero when it is gone. Grows when the thread runs, however short.
 *
 * @since 0.1.0
 * @category observing
 */
export const threadActivity = (pid: number, thread: number): number => {
  try {
    const directory = `/proc/${pid}/task/${thread}`
    const stat = fs.readFileSync(`${directory}/stat`, "latin1")
    // Fields 14 and 15, user and system time; the state, field 3, is the first after the name.
    const [user = 0, system = 0] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13)
      .map(Number)
    const switches = fs
      .readFileSync(`${directory}/status`, "latin1")
      .matchAll(/^(?:non)?voluntary_ctxt_switches:\s*(\d+)/gm)
    return [...switches].reduce((sum, [, count]) => sum + Number(count), user + system)
  } catch {
    return 0
  }
}

/** A zombie doesn't run: its files are closed already. */
const runs = (stat: ProcStat | undefined): stat is ProcStat =>
  stat !== undefined && stat.state !== "Z" && stat.state !== "X"

/**
 * Whether a process of this pid runs, whichever it is. A zombie does not.
 *
 * @since 0.1.0
 * @category observing
 */
export const isAlive = (pid: number): boolean => runs(readSync(pid))

/**
 * Whether the process that had this pid and start time still runs. A zombie does not.
 *
 * @since 0.1.0
 * @category observing
 */
export const isRunning = (process: { readonly pid: number; readonly pidStartTime: string }): Effect.Effect<boolean> =>
  Effect.sync(() => {
    const stat = readSync(process.pid)
    return runs(stat) && identity(stat) === process.pidStartTime
  })
