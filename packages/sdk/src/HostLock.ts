/**
 * One live update at a time on a host: kexec takes all of it, so two orchestrators must not both be at it.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { fromErrno } from "./internal/errnoTable.ts"
import * as Fd from "./internal/fd.ts"
import { LOCK_EX, LOCK_NB, O_CREAT, O_RDWR } from "./internal/uapi.ts"
import type { LiveUpdateError } from "./LiveUpdateError.ts"

/**
 * Where the lock is unless the caller says otherwise; a tmpfs, as the lock is worth nothing after the jump.
 *
 * @since 0.1.0
 * @category constants
 */
export const path = "/run/liveupdate/host.lock"

const hasErrno = (error: unknown): error is { readonly errno: number } =>
  typeof error === "object" && error !== null && "errno" in error && typeof error.errno === "number"

const makeDirectory = (directory: string): Effect.Effect<void, LiveUpdateError> =>
  Effect.suspend(() => {
    try {
      Fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
      return Effect.void
    } catch (error) {
      return hasErrno(error) ? Effect.fail(fromErrno("host.lock", error.errno, { path: directory })) : Effect.die(error)
    }
  })

/**
 * Takes the lock for as long as the scope lives. The kernel drops it with the process, however that ends. Fails with
 * `HostLocked` at once when another process has it, `PermissionDenied` without root.
 *
 * @since 0.1.0
 * @category operations
 */
export const acquire = (lockPath: string = path): Effect.Effect<void, LiveUpdateError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* makeDirectory(Path.dirname(lockPath))
    const fd = yield* Fd.openFile(lockPath, O_RDWR | O_CREAT, "host.lock")
    yield* Fd.call("host.lock", { path: lockPath }, (kernel) => kernel.flock(fd, LOCK_EX | LOCK_NB))
  }).pipe(Effect.withSpan("HostLock.acquire"))
