/** Programs that run inside the host, made into one file here. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"

const script = fileURLToPath(new URL("../../../../scripts/bundle-program.mjs", import.meta.url))

/** Where ffi-rs finds its native part: beside the agent. */
export const inside = (name: string): string => `/usr/lib/liveupdate/${name}.mjs`

/** The bundle of a TypeScript file. */
export const make = (source: URL): Effect.Effect<Buffer> =>
  Effect.acquireUseRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveupdate-program-"))),
    (directory) =>
      Effect.sync(() => {
        const output = Path.join(directory, "program.mjs")
        execFileSync(process.execPath, [script, fileURLToPath(source), output])
        return Fs.readFileSync(output)
      }),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
  )
