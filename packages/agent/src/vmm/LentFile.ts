/**
 * A path under which a VMM reaches a file that this process has open and that has no name, whichever user the VMM runs as.
 *
 * A process's descriptors under /proc are for those who may trace it (`proc_fd_permission` in `fs/proc/fd.c`): a VMM that has given up being
 * root can't reach the agent's, but those of a process of its own user and group. A memfd itself is open to everybody who reaches it.
 *
 * @since 0.1.0
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** The descriptor that the process which lends it has it as. */
const LENT_FD = 3

/** What a process opens files as: the last of the four numbers (`task_state` in `fs/proc/array.c`). */
const fileIdOf = (status: string, field: "Uid" | "Gid"): number =>
  Number(new RegExp(`^${field}:(?:\\s+\\d+){3}\\s+(\\d+)`, "m").exec(status)?.[1])

/** It waits for the end of a pipe that only the agent holds, and does nothing else. */
const lend = (fd: number, uid: number, gid: number) =>
  Effect.acquireRelease(
    Effect.async<ChildProcess, Error>((resume) => {
      const child = spawn("cat", [], { cwd: "/", uid, gid, stdio: ["pipe", "ignore", "ignore", fd] })
      child.once("error", (error) => resume(Effect.fail(error)))
      // Its program runs by now, so nobody can take it for the agent, whom its user may not trace.
      if (child.pid !== undefined) resume(Effect.succeed(child))
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/**
 * For as long as the scope lives. Fails with Node's error when the VMM is gone, or nobody can be started to lend it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const path = (vmm: number, fd: number): Effect.Effect<string, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const status = yield* Effect.try({
      try: () => Fs.readFileSync(`/proc/${vmm}/status`, "latin1"),
      catch: (error) => error as Error
    })
    const [uid, gid] = [fileIdOf(status, "Uid"), fileIdOf(status, "Gid")]
    if (uid === process.geteuid?.()) return `/proc/${process.pid}/fd/${fd}`
    const { pid } = yield* lend(fd, uid, gid)
    return `/proc/${pid}/fd/${LENT_FD}`
  })

/**
 * Whether the VMM sees this process's /proc at all: one in a chroot, or in a PID namespace, has another one, or none.
 *
 * @since 0.1.0
 * @category accessors
 */
export const isReachable = (vmm: number): boolean => {
  const device = (proc: string) => Fs.statSync(proc, { throwIfNoEntry: false })?.dev
  try {
    return device(`/proc/${vmm}/root/proc`) === device("/proc")
  } catch {
    // Who may not look is told when it is tried.
    return true
  }
}
