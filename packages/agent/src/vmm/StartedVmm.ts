/**
 * A VMM that was started for a guest whose record is not written yet: noted in the VM's runtime directory, a tmpfs, so that whoever
 * brings the guest back finds it, be it the first process that has started it, or an agent that was killed since.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as ProcStat from "./ProcStat.ts"
import type { VmPaths } from "./Vm.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface StartedVmm {
  readonly pid: number
  /** Milliseconds of CLOCK_MONOTONIC. */
  readonly at: number
}

/** There from the moment on at which the guest may have run. */
const resumedFileOf = (paths: VmPaths): string => join(paths.runtimeDir, "resumed")

/** One line, `PID MILLISECONDS`; `packages/qemu-host/host/resume.c` writes it, too. */
const fileOf = (paths: VmPaths): string => join(paths.runtimeDir, "started")

/**
 * Notes it, for as long as this kernel runs. A disk that is full or the like stands in nobody's way here.
 *
 * @since 0.1.0
 * @category operations
 */
export const note = (paths: VmPaths, started: StartedVmm): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try(() => {
      fs.writeFileSync(`${fileOf(paths)}.new`, `${started.pid} ${started.at}\n`, { mode: 0o600 })
      fs.renameSync(`${fileOf(paths)}.new`, fileOf(paths))
    })
  )

/** The first process notes a VMM that it has forked: until that has become the VMM, it goes by the name of the keeper, or by none. */
const KEEPER = "liveupdate-keeper\0"

/** 60 seconds: what is executed has to be read from a disk, on a host that has much to do at that moment. */
const whileItStarts = Schedule.intersect(Schedule.spaced("5 millis"), Schedule.recurs(12_000))

/**
 * The one that was noted, if it still lives and was started with exactly this command: what was meant for another configuration, or got the
 * same pid later, is none. Waits for one that is about to become it: a second VMM for the guest would leave that one behind.
 *
 * @since 0.1.0
 * @category operations
 */
export const find = (paths: VmPaths, command: ReadonlyArray<string>): Effect.Effect<StartedVmm | undefined> => {
  const wanted = command.map((argument) => `${argument}\0`).join("")
  const look = Effect.sync(() => {
    try {
      const [pid, at] = fs.readFileSync(fileOf(paths), "latin1").split(" ").map(Number)
      if (pid === undefined || !Number.isSafeInteger(pid) || at === undefined || Number.isNaN(at)) return undefined
      const running = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8")
      if (running === wanted) return { pid, at }
      return (running === "" || running.startsWith(KEEPER)) && ProcStat.isAlive(pid) ? "starts" : undefined
    } catch {
      return undefined
    }
  })
  return look.pipe(
    Effect.filterOrFail((found) => found !== "starts"),
    Effect.retry(whileItStarts),
    Effect.orElseSucceed(() => undefined)
  )
}

/**
 * Notes, before the VMM is told to, that the guest runs: from then on its memory is ahead of the state that was saved, and no other VMM
 * can take it up.
 *
 * @since 0.1.0
 * @category operations
 */
export const noteResumed = (paths: VmPaths): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => fs.writeFileSync(resumedFileOf(paths), "", { mode: 0o600 })))

/**
 * It did not run: its VMM has said no.
 *
 * @since 0.1.0
 * @category operations
 */
export const noteNotResumed = (paths: VmPaths): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => fs.rmSync(resumedFileOf(paths), { force: true })))

/**
 * Whether the guest may have run on this kernel.
 *
 * @since 0.1.0
 * @category operations
 */
export const wasResumed = (paths: VmPaths): Effect.Effect<boolean> =>
  Effect.sync(() => fs.existsSync(resumedFileOf(paths)))
