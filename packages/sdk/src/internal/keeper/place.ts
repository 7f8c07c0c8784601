/** Where things are in a keeper's directory. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { systemCalls } from "../libc.ts"
import { LOCK_EX, LOCK_NB } from "../uapi.ts"

export const socketPath = (directory: string) => Path.join(directory, "socket")

/** Which process the keeper is. */
export const pidPath = (directory: string) => Path.join(directory, "pid")

/** What a keeper said when it ended badly. */
export const logPath = (directory: string) => Path.join(directory, "log")

/**
 * Whoever has the lock decides who listens at the socket: the clients, when they connect or start a keeper, and the keeper when it wants to end.
 * Runs `use` under it, or not at all when somebody else has it.
 */
export const underLock = <A>(directory: string, use: () => A): A | undefined => {
  const lock = Fs.openSync(Path.join(directory, "lock"), "a", 0o600)
  try {
    return systemCalls.flock(lock, LOCK_EX | LOCK_NB) < 0 ? undefined : use()
  } finally {
    Fs.closeSync(lock)
  }
}
