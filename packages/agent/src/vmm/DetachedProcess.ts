/**
 * A process that outlives the agent: a session of its own, with exactly the descriptors it is given.
 *
 * @since 0.1.0
 */
import { spawn as spawnChild } from "node:child_process"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as ProcStat from "./ProcStat.ts"
import type { ProcessExit } from "./VmmError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface DetachedProcess {
  readonly pid: number
  readonly pidStartTime: string
  /** Returns how the process ended, once it has. */
  readonly exit: Effect.Effect<ProcessExit>
  /** SIGKILL, then waits for the end. Harmless on a process that has ended. */
  readonly kill: Effect.Effect<void>
}

/**
 * Starts `command`; its standard input is `/dev/null` and `descriptors[i]` becomes its descriptor `i + 1`. Nothing else is inherited,
 * as Node opens everything close-on-exec. Fails with Node's error (`ENOENT`, `EACCES`, …).
 *
 * @since 0.1.0
 * @category constructors
 */
export const spawn = (
  command: string,
  args: ReadonlyArray<string>,
  descriptors: ReadonlyArray<number>
): Effect.Effect<DetachedProcess, NodeJS.ErrnoException> =>
  Effect.async<{ readonly pid: number; readonly exit: Deferred.Deferred<ProcessExit> }, NodeJS.ErrnoException>(
    (resume) => {
      const exit = Deferred.unsafeMake<ProcessExit>(FiberId.none)
      const child = spawnChild(command, args, { detached: true, cwd: "/", stdio: ["ignore", ...descriptors] })
      child.once("exit", (code, signal) =>
        Deferred.unsafeDone(
          exit,
          Effect.succeed<ProcessExit>(
            signal !== null ? { _tag: "signal", signal } : code !== null ? { _tag: "code", code } : { _tag: "unknown" }
          )
        )
      )
      // The agent may end while the VM runs on.
      child.unref()
      child.once("error", (error) => resume(Effect.fail(error)))
      if (child.pid !== undefined) resume(Effect.succeed({ pid: child.pid, exit }))
    }
  ).pipe(
    Effect.flatMap(({ pid, exit }) =>
      // Our child stays at least a zombie until the event loop reaps it, so this read can't miss or meet a stranger.
      Effect.map(
        ProcStat.startTime(pid),
        (startTime): DetachedProcess => ({
          pid,
          pidStartTime: startTime ?? "",
          exit: Deferred.await(exit),
          kill: Effect.zipRight(
            Effect.flatMap(Deferred.isDone(exit), (done) => (done ? Effect.void : kill(pid))),
            Effect.asVoid(Deferred.await(exit))
          )
        })
      )
    )
  )

/**
 * Sends SIGKILL; a process that is gone is what was wanted.
 *
 * @since 0.1.0
 * @category signals
 */
export const kill = (pid: number): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => globalThis.process.kill(pid, "SIGKILL")))
