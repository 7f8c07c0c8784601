/**
 * Writing dirty pages back: what is only in the page cache dies with the kernel.
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"

/**
 * All of them, of every file system.
 *
 * @since 0.1.0
 * @category operations
 */
export const syncAll: Effect.Effect<void> = Effect.async((resume) => {
  execFile("sync", () => resume(Effect.void))
})

/**
 * Those of one file; a file that isn't there has none.
 *
 * @since 0.1.0
 * @category operations
 */
export const sync = (path: string): Effect.Effect<void> =>
  Effect.acquireUseRelease(
    Effect.try(() => Fs.openSync(path, "r")),
    (fd) => Effect.async<void>((resume) => Fs.fsync(fd, () => resume(Effect.void))),
    (fd) => Effect.sync(() => Fs.closeSync(fd))
  ).pipe(Effect.ignore)

/**
 * Changes with every change of the file, its content's or its own.
 *
 * @since 0.1.0
 * @category accessors
 */
export const stateOf = (path: string): string => {
  const status = Fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  return status === undefined ? "absent" : [status.dev, status.ino, status.size, status.ctimeNs].join(":")
}
