/**
 * The host's first process starts the second half with a priority (`packages/qemu-host/host/resume.c`), as all guests wait for it. The
 * kernel gives it to nobody whom it starts, nor to its threads (SCHED_RESET_ON_FORK); it ends when the guests run.
 *
 * @since 0.1.0
 */
import * as Os from "node:os"
import * as Effect from "effect/Effect"

/**
 * A niceness that the operator chose stays.
 *
 * @since 0.1.0
 * @category operations
 */
export const giveBack: Effect.Effect<void> = Effect.sync(() => {
  if (Os.getPriority() < 0) Os.setPriority(0)
})
