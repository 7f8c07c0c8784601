/**
 * What stands on the disk while a run is under way before its jump, so that an agent that died can be cleaned up after.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/**
 * @since 0.1.0
 * @category constants
 */
export const path = "/run/liveupdate/upgrade.json"

/**
 * @since 0.1.0
 * @category models
 */
export const Pending = Schema.Struct({
  version: Schema.Literal(1),
  run: Schema.String,
  vms: Schema.Array(Schema.String)
})

/**
 * @since 0.1.0
 * @category models
 */
export type Pending = typeof Pending.Type

/**
 * Notes a run for as long as the scope lives, and longer if there is something left to undo when it ends: `leftToUndo` says so. It
 * lies in a tmpfs: after the jump, when nothing may be undone any more, it is gone by itself.
 *
 * @since 0.1.0
 * @category operations
 */
export const note = (
  pending: Pending,
  leftToUndo: () => boolean,
  file: string = path
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      Fs.mkdirSync(Path.dirname(file), { recursive: true, mode: 0o700 })
      Fs.writeFileSync(`${file}.new`, JSON.stringify(pending), { mode: 0o600 })
      Fs.renameSync(`${file}.new`, file)
    }),
    () => Effect.sync(() => leftToUndo() || Fs.rmSync(file, { force: true }))
  )

/**
 * The run that a dead agent left behind, if any. Only call it under the host's lock: otherwise the run may be alive.
 *
 * @since 0.1.0
 * @category operations
 */
export const leftBehind = (file: string = path): Effect.Effect<Pending | undefined> =>
  Effect.sync(() => {
    try {
      const result = decode(JSON.parse(Fs.readFileSync(file, "utf8")))
      return result._tag === "Some" ? result.value : undefined
    } catch {
      return undefined
    }
  })

/**
 * Forgets it.
 *
 * @since 0.1.0
 * @category operations
 */
export const clear = (file: string = path): Effect.Effect<void> => Effect.sync(() => Fs.rmSync(file, { force: true }))

const decode = Schema.decodeUnknownOption(Pending)
