/**
 * The keeper's own program: holds the sessions it is given until they are released, and ends when it holds nothing. The
 * `Keeper` layer starts it; nothing else has to.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Server from "./internal/keeper/server.ts"

/** The descriptor at which it finds its listening socket. */
const LISTENER = 3

const LINGER_MS = 1000

/** What must not happen may cost time, but never what is held. */
const AFTER_A_FAULT_MS = 100

const wait = (milliseconds: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)

/** Whoever wants it to end has to say SIGKILL: with it ends what it holds. */
const ignoreSignals = () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE"] as const) process.on(signal, () => undefined)
}

const sparesUs = () => {
  try {
    Fs.writeFileSync("/proc/self/oom_score_adj", "-1000")
  } catch {
    // Only root may say so; the keeper works without.
  }
}

/**
 * Runs until there is nothing to hold, with a listening Unix socket at descriptor 3 that lies in `directory`. Returns the exit code: 0, or 2
 * when there is no such socket.
 *
 * @since 0.1.0
 * @category running
 */
export const run = (directory: string | undefined): number => {
  const listens = directory !== undefined && Fs.fstatSync(LISTENER).isSocket()
  if (!listens) {
    process.stderr.write("The keeper is started by the SDK, with a directory and a listening socket as descriptor 3.\n")
    return 2
  }
  ignoreSignals()
  sparesUs()
  process.title = "liveupdate-keeper"
  const server = Server.make({ listener: LISTENER, directory, lingerMs: LINGER_MS, user: process.geteuid?.() ?? 0 })
  for (;;) {
    try {
      if (!server.turn()) return 0
    } catch (error) {
      process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
      wait(AFTER_A_FAULT_MS)
    }
  }
}
