/**
 * Runs that came to a result nobody was told of yet: one empty file for each. `liveupdate-publish.path` sees that there is one and starts
 * `agent publish`, which takes it away. So no live update waits for metrics and traces, neither half of it loads them, and what can't be
 * told now is told later, by another boot too. Where nobody wants to be told, there is no directory for them, and no process is started.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type { Listener } from "./RunLog.ts"
import { reasonOf } from "./RunLog.ts"

/**
 * On a disk: after a loss of power there is still somebody to tell.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultDirectory = "/var/lib/liveupdate/unpublished"

/**
 * Whether anybody is to be told from now on. Runs that wait still are told all the same.
 *
 * @since 0.1.0
 * @category operations
 */
export const want = (wanted: boolean, directory: string = defaultDirectory): Effect.Effect<void> =>
  Effect.try({
    try: () => {
      if (wanted) Fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
      else if (Fs.existsSync(directory) && Fs.readdirSync(directory).length === 0) Fs.rmdirSync(directory)
    },
    catch: reasonOf
  }).pipe(Effect.catchAll((reason) => Effect.logWarning("who is to be told of the run can't be noted", reason)))

/**
 * Hears of a run's outcome; `note` is for afterwards, when nobody waits.
 *
 * @since 0.1.0
 * @category constructors
 */
export const watch = (
  listener: Listener,
  directory: string = defaultDirectory
): { readonly listener: Listener; readonly note: Effect.Effect<void> } => {
  const ended = new Set<string>()
  return {
    listener: (event) => {
      if (event.type === "outcome") ended.add(event.run)
      listener(event)
    },
    note: Effect.forEach(
      ended,
      (run) =>
        Effect.try({
          try: () => {
            if (Fs.existsSync(directory)) Fs.writeFileSync(Path.join(directory, run), "", { mode: 0o600 })
          },
          catch: reasonOf
        }).pipe(
          Effect.catchAll((reason) =>
            Effect.logWarning("metrics and traces will not hear of the run by themselves", reason)
          )
        ),
      { discard: true }
    )
  }
}

/**
 * The runs, oldest first.
 *
 * @since 0.1.0
 * @category observing
 */
export const list = (directory: string = defaultDirectory): Effect.Effect<ReadonlyArray<string>> =>
  Effect.sync(() => (Fs.existsSync(directory) ? Fs.readdirSync(directory).sort() : []))

/**
 * It was told.
 *
 * @since 0.1.0
 * @category operations
 */
export const settle = (run: string, directory: string = defaultDirectory): Effect.Effect<void> =>
  Effect.sync(() => Fs.rmSync(Path.join(directory, run), { force: true }))
