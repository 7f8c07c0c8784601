/** Programs that run inside the host, made into one file here. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"

const script = fileURLToPath(new URL("../../../../scripts/bundle-program.mjs", import.meta.url))

const execute = promisify(execFile)

/** Where ffi-rs finds its native part: beside the agent. */
export const inside = (name: string): string => `/usr/lib/liveupdate/${name}.mjs`

/**
 * How it is started there. An emulated processor translates what a compiler has made anew, so that a program which runs for seconds gains nothing
 * from one, and threads that compile take the second processor from what runs: it starts in about half the time with these.
 */
export const node = [
  "/usr/lib/liveupdate/node",
  "--no-opt",
  "--no-sparkplug",
  "--single-threaded",
  "--min-semi-space-size=16",
  "--max-semi-space-size=32"
] as const

const bundle = async (source: string): Promise<Buffer> => {
  const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveupdate-program-"))
  try {
    const output = Path.join(directory, "program.mjs")
    await execute(process.execPath, [script, source, output])
    return Fs.readFileSync(output)
  } finally {
    Fs.rmSync(directory, { recursive: true })
  }
}

const made = new Map<string, Promise<Buffer>>()

/** The bundle of a TypeScript file, made once: a test may write it anew after each jump. */
export const make = (source: URL): Effect.Effect<Buffer> =>
  Effect.promise(() => {
    const path = fileURLToPath(source)
    const known = made.get(path) ?? bundle(path)
    made.set(path, known)
    return known
  })
