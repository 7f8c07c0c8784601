/**
 * What makes the second half of a live update start fast, made ready while the guests run.
 *
 * The second half of a live update as a start-up snapshot of Node: parsed, compiled, evaluated, and rehearsed, before the
 * guests are paused. A snapshot fits one Node, one processor and one version of the code; `early` starts without it
 * when Node refuses it (exit code 14).
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"

/**
 * Where `early` looks for it.
 *
 * @since 0.1.0
 * @category constants
 */
export const path = "/var/lib/liveupdate/resume.blob"

/**
 * Files that the VMMs have mapped; `early` reads them into the page cache, one a line.
 *
 * @since 0.1.0
 * @category constants
 */
export const filesPath = "/var/lib/liveupdate/resume.files"

const keyPath = `${path}.key`

const run = (file: string, args: ReadonlyArray<string>): Effect.Effect<void, Error> =>
  Effect.async((resume) => {
    const child = execFile(file, [...args], { env: { PATH: process.env["PATH"] ?? "" } }, (error, _stdout, stderr) =>
      resume(
        error === null
          ? Effect.void
          : Effect.fail(new Error(stderr.split("\n").findLast((_) => _ !== "") ?? error.message))
      )
    )
    return Effect.sync(() => child.kill())
  })

/**
 * Makes the snapshot of `script` for this Node, unless it is there. Without it a live update works all the same, only with
 * a longer blackout, so a failure is a warning.
 *
 * @since 0.1.0
 * @category operations
 */
export const prepare = (script: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const source = yield* Effect.try(() => Fs.readFileSync(script))
    const flags = yield* Effect.try(() =>
      Fs.readFileSync(Path.join(Path.dirname(script), "resume.flags"), "utf8").trim()
    )
    const key = createHash("sha256").update(process.version).update(flags).update(source).digest("hex")
    const known = yield* Effect.sync(() => {
      try {
        return Fs.existsSync(path) ? Fs.readFileSync(keyPath, "utf8") : undefined
      } catch {
        return undefined
      }
    })
    if (known === key) return
    yield* Effect.try(() => {
      Fs.mkdirSync(Path.dirname(path), { recursive: true, mode: 0o700 })
      Fs.rmSync(keyPath, { force: true })
    })
    const building = `${path}.new`
    yield* run(process.execPath, [...flags.split(" "), "--snapshot-blob", building, "--build-snapshot", script])
    yield* Effect.try(() => {
      Fs.chmodSync(building, 0o600)
      Fs.renameSync(building, path)
      Fs.writeFileSync(keyPath, key, { mode: 0o600 })
    })
  }).pipe(
    Effect.catchAll((error) => Effect.logWarning("no start-up snapshot, the blackout will be longer", error.message)),
    Effect.withSpan("QuickStart.prepare")
  )

/**
 * Notes which files the VMMs have mapped: program, libraries, firmware.
 *
 * @since 0.1.0
 * @category operations
 */
export const noteMappedFiles = (pids: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.try(() => {
    const files = new Set(
      pids.flatMap((pid) =>
        Fs.readFileSync(`/proc/${pid}/maps`, "utf8")
          .split("\n")
          // address, permissions, offset, device, inode, path; a path with a blank in it is no library's.
          .map((line) => line.split(/\s+/)[5] ?? "")
          .filter((file) => file.startsWith("/") && Fs.statSync(file, { throwIfNoEntry: false })?.isFile() === true)
      )
    )
    Fs.mkdirSync(Path.dirname(filesPath), { recursive: true, mode: 0o700 })
    Fs.writeFileSync(filesPath, `${[...files].join("\n")}\n`, { mode: 0o600 })
  }).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("the VMM's files can't be noted, it will start slower", error.message)
    ),
    Effect.withSpan("QuickStart.noteMappedFiles")
  )
