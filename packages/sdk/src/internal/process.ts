import { readFileSync } from "node:fs"

/**
 * When a process started, in clock ticks since boot: field 22 of /proc/PID/stat. A pid alone is no identity, as pids are
 * reused. The command name before it may hold spaces and parentheses, so counting starts behind the last one.
 */
export const startTime = (pid: number): number | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const value = Number(fields[19])
    return Number.isSafeInteger(value) ? value : undefined
  } catch {
    return undefined
  }
}
