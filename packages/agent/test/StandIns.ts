/** Programs that stand in for those of the system. */
import * as Fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Writes these scripts, by name, into the directory; they are found there before any other, as long as the scope lives. */
export const inPath = (
  directory: string,
  scripts: Readonly<Record<string, string>>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        for (const [name, script] of Object.entries(scripts))
          Fs.writeFileSync(join(directory, name), script, { mode: 0o755 })
        const path = process.env["PATH"] ?? ""
        process.env["PATH"] = `${directory}:${path}`
        return path
      }),
      (path) =>
        Effect.sync(() => {
          process.env["PATH"] = path
        })
    )
  )
