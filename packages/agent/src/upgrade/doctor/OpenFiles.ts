/**
 * Who has what open, from /proc. Looking changes nothing, where asking would: an open of the device keeps others out for a
 * moment, and so does trying for a lock.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type { OpenSession, Process } from "./Facts.ts"

const namesIn = (directory: string): ReadonlyArray<string> => {
  try {
    return Fs.readdirSync(directory)
  } catch {
    // The process has ended, or isn't for us to see.
    return []
  }
}

const linkOf = (path: string): string => {
  try {
    return Fs.readlinkSync(path)
  } catch {
    return ""
  }
}

/**
 * The process of a pid, by the name that it has itself.
 *
 * @since 0.1.0
 * @category accessors
 */
export const processOf = (pid: number, proc = "/proc"): Process => {
  try {
    return { pid, name: Fs.readFileSync(`${proc}/${pid}/comm`, "utf8").trim() }
  } catch {
    return { pid, name: "a process" }
  }
}

/** `luo_session_getfile` in `kernel/liveupdate/luo_session.c` names the file so. */
const SESSION = "anon_inode:[luo_session]"

/**
 * @since 0.1.0
 * @category models
 */
export interface OpenFiles {
  readonly deviceHolders: ReadonlyArray<Process>
  readonly sessions: ReadonlyArray<OpenSession>
}

/**
 * Processes other than this one that have the device or sessions open. Whoever may not look into other processes sees nothing.
 *
 * @since 0.1.0
 * @category accessors
 */
export const scan = (proc = "/proc"): OpenFiles => {
  const deviceHolders: Array<Process> = []
  const sessions: Array<OpenSession> = []
  const pids = namesIn(proc)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid)
    .sort((a, b) => a - b)
  for (const pid of pids) {
    const links = new Set(namesIn(`${proc}/${pid}/fd`).map((fd) => linkOf(`${proc}/${pid}/fd/${fd}`)))
    if (links.has(LiveUpdate.device)) deviceHolders.push(processOf(pid, proc))
    for (const link of links)
      if (link.startsWith(SESSION))
        sessions.push({ session: link.slice(SESSION.length).trim(), process: processOf(pid, proc) })
  }
  return { deviceHolders, sessions }
}

/** `MAJOR` and `MINOR` of a device number as stat(2) gives it (`new_encode_dev` in `include/linux/kdev_t.h`). */
const deviceName = (dev: number): string => {
  const major = (dev >> 8) & 0xfff
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00)
  return [major, minor].map((part) => part.toString(16).padStart(2, "0")).join(":")
}

/**
 * The pid that has a file flocked, by the text of /proc/locks: `1: FLOCK  ADVISORY  WRITE 1234 00:1a:567 0 EOF`
 * (`lock_get_status` in `fs/locks.c`). Who waits for it has an arrow in its line.
 *
 * @since 0.1.0
 * @category decoding
 */
export const lockedBy = (locks: string, file: { readonly dev: number; readonly ino: number }): number | undefined => {
  const place = `${deviceName(file.dev)}:${file.ino}`
  const line = locks.split("\n").find((text) => /^\d+: FLOCK\s/.test(text) && text.split(/\s+/)[5] === place)
  return line === undefined ? undefined : Number(line.split(/\s+/)[4])
}
