/**
 * The host's first process starts the second half with a priority of its own (`packages/qemu-host/host/resume.c`), as all guests wait for
 * it. That is for nobody whom it starts, and ends when the guests run.
 *
 * @since 0.1.0
 */
import * as Os from "node:os"
import * as Effect from "effect/Effect"

const ORDINARY = 0

/**
 * A child has no priority by its parent; called as soon as it is there, before it has threads of its own. Does nothing to the child of
 * an agent that has none, be it that the operator made it nicer.
 *
 * @since 0.1.0
 * @category operations
 */
export const notFor = (pid: number): void => {
  if (Os.getPriority() >= ORDINARY) return
  try {
    Os.setPriority(pid, ORDINARY)
  } catch {
    // It has ended.
  }
}

/**
 * @since 0.1.0
 * @category operations
 */
export const giveBack: Effect.Effect<void> = Effect.sync(() => notFor(process.pid))
