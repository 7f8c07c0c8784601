/**
 * Which kernel this is.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"

/**
 * The running kernel's, as `uname -r` says it; `unknown` where there is no /proc. Not `os.release()`: Node reads that once when it starts, and a
 * start-up snapshot has started on whatever kernel it was made on.
 *
 * @since 0.1.0
 * @category accessors
 */
export const running: Effect.Effect<string> = Effect.sync(() => {
  try {
    return Fs.readFileSync("/proc/sys/kernel/osrelease", "utf8").trim()
  } catch {
    return "unknown"
  }
})
