/**
 * What makes the second half of a live update start fast, made ready while the guests run: a start-up snapshot of Node in
 * which it is parsed, compiled, evaluated and rehearsed. A snapshot fits one Node, one processor and one version of the code;
 * `early` starts without it when Node refuses it (exit code 14).
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import type * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { VmRecord } from "../vmm/Vm.ts"
import { Vmm } from "../vmm/Vmm.ts"
import { VmStore } from "../vmm/VmStore.ts"
import * as CarriedAgent from "./CarriedAgent.ts"
import * as Handover from "./Handover.ts"
import * as Watchdog from "./Watchdog.ts"

/**
 * Where `early` looks for the snapshot.
 *
 * @since 0.1.0
 * @category constants
 */
export const blob = "/var/lib/liveupdate/resume.blob"

/** Files that the second half and the VMMs will map, one a line; `early` reads them into the page cache. */
const filesPath = "/var/lib/liveupdate/resume.files"

const makeDirectory = () => Fs.mkdirSync(Path.dirname(blob), { recursive: true, mode: 0o700 })

/** The Node that starts `script` after the jump: the one that lies beside it, as for `early` and `snapshot`; else the one that runs. */
const nodeOf = (script: string): string => {
  const beside = Path.join(Path.dirname(script), "node")
  return Fs.existsSync(beside) ? Fs.realpathSync(beside) : process.execPath
}

const flagsOf = (script: string): ReadonlyArray<string> =>
  Fs.readFileSync(Path.join(Path.dirname(script), "resume.flags"), "utf8")
    .trim()
    .split(" ")

/**
 * How the watchdog is started: as the second half is, from its snapshot, in a fraction of the time that its script takes; or from the
 * script.
 *
 * @since 0.1.0
 * @category operations
 */
export const watchdog = (script: string): Arr.NonEmptyReadonlyArray<Watchdog.Command> => {
  const fromScript = { file: process.execPath, args: [script, Watchdog.WATCH] }
  try {
    const args = [...flagsOf(script), "--snapshot-blob", blob, "resume", Watchdog.WATCH]
    return [{ file: nodeOf(script), args }, fromScript]
  } catch {
    return [fromScript]
  }
}

/** What knows how, and when one that is there will do. */
const makeSnapshot = (script: string) =>
  CarriedAgent.runToEnd(Path.join(Path.dirname(script), "snapshot"), ["resume", blob])

/** Files that these processes have mapped: program, libraries, firmware. */
const mappedFiles = (pids: ReadonlyArray<number>): ReadonlyArray<string> => [
  ...new Set(
    pids.flatMap((pid) =>
      Fs.readFileSync(`/proc/${pid}/maps`, "utf8")
        .split("\n")
        // address, permissions, offset, device, inode, path; a path with a blank in it is no library's.
        .map((line) => line.split(/\s+/)[5] ?? "")
        .filter((file) => file.startsWith("/") && Fs.statSync(file, { throwIfNoEntry: false })?.isFile() === true)
    )
  )
]

/**
 * Makes all of it ready for these VMs, and sends along what the next kernel's first process can start at once; unless told not to
 * `carry` it, as where systemd comes before it. Without it a live update works all the same, only with a longer blackout, so a failure
 * is a warning. What is sent along is given back with the scope.
 *
 * @since 0.1.0
 * @category operations
 */
export const prepare = (
  script: string,
  vms: ReadonlyArray<VmRecord>,
  { carry = true }: { readonly carry?: boolean } = {}
): Effect.Effect<void, never, LiveUpdate.LiveUpdate | Vmm | VmStore | Scope.Scope> =>
  Effect.gen(function* () {
    const { incomingCommand } = yield* Vmm
    const store = yield* VmStore
    const node = yield* Effect.try(() => nodeOf(script))
    const flags = yield* Effect.try(() => flagsOf(script))
    // Ours first, which this process runs from as well; but for Node itself, which is read before anything can be read ahead.
    const readAhead = (yield* Effect.try(() => mappedFiles([process.pid, ...vms.map((_) => _.pid)]))).filter(
      (file) => file !== node
    )
    yield* Effect.try(() => {
      makeDirectory()
      Fs.writeFileSync(filesPath, `${readAhead.join("\n")}\n`, { mode: 0o600 })
    })
    yield* makeSnapshot(script)
    if (!carry) return
    // As the second half will have it: a VM that something else has started has its monitor and its console elsewhere until now.
    const places = yield* Effect.forEach(vms, ({ id }) => store.prepare(id))
    yield* CarriedAgent.preserve({
      program: node,
      snapshot: blob,
      flags,
      readAhead,
      sessions: [Handover.indexSession],
      vms: Arr.zipWith(vms, places, ({ id, config }, paths) => ({
        session: Handover.vmSession(id),
        ramToken: Handover.tokens.ram,
        runtimeDir: paths.runtimeDir,
        logPath: paths.logPath,
        consolePath: paths.consolePath,
        qmpPath: paths.qmpPath,
        command: incomingCommand(config, paths)
      }))
    })
  }).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("the second half is not ready to start fast, the blackout will be longer", error.message)
    ),
    Effect.withSpan("QuickStart.prepare")
  )
