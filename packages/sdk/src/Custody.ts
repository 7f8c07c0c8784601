/**
 * Who holds a retrieved session while nobody works on it. Closing a retrieved session's last descriptor makes the kernel
 * finish it and free what was not retrieved, so a session must never be closed on the way out of an error.
 *
 * @since 0.1.0
 */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fd from "./internal/fd.ts"
import * as Process from "./internal/process.ts"

/**
 * Nobody could be found to hold the session. It stays open in this process, which must not end.
 *
 * @since 0.1.0
 * @category errors
 */
export class ParkFailed extends Data.TaggedError("ParkFailed")<{
  readonly session: string
  readonly reason: string
}> {
  override get message(): string {
    return `Session "${this.session}" could not be parked: ${this.reason}. Keep this process (pid ${process.pid}) alive: its end would free the preserved memory.`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Parked {
  readonly session: string
  /** The process that holds the session's descriptor, and its start time in clock ticks since boot. */
  readonly pid: number
  readonly startTime: number
  /** The descriptor's number in that process. */
  readonly fd: number
}

/**
 * @since 0.1.0
 * @category services
 */
export class Custody extends Context.Tag("@liveupdate/sdk/Custody")<
  Custody,
  {
    /** Gives a session's descriptor to a holder that outlives this process. */
    readonly park: (session: string, fd: number) => Effect.Effect<Parked, ParkFailed>
    /**
     * A duplicate of a parked session's descriptor, or `undefined` when nobody holds it. It is the caller's to close, as what
     * an `acquire` gives.
     */
    readonly claim: (session: string) => Effect.Effect<number | undefined>
    /** Ends the holder, after the session was finished. */
    readonly release: (session: string) => Effect.Effect<void>
    /** All parked sessions whose holder lives. */
    readonly list: Effect.Effect<ReadonlyArray<Parked>>
  }
>() {}

const HELD_FD = 3

const isParked = (value: unknown): value is Parked =>
  typeof value === "object" &&
  value !== null &&
  "session" in value &&
  typeof value.session === "string" &&
  "pid" in value &&
  typeof value.pid === "number" &&
  "startTime" in value &&
  typeof value.startTime === "number" &&
  "fd" in value &&
  typeof value.fd === "number"

/**
 * Holders are plain `sleep` processes that inherit the descriptor, one per session, recorded in `directory` (0700). They
 * run no code of ours, so nothing can go wrong in them.
 *
 * Run the service that parks with systemd's `KillMode=process`, or its holders end with it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: { readonly directory: string } = { directory: "/run/liveupdate/parked" }) => {
  const recordPath = (session: string) =>
    Path.join(options.directory, `${Buffer.from(session, "utf8").toString("base64url")}.json`)

  const readRecord = (path: string): Parked | undefined => {
    try {
      const value: unknown = JSON.parse(Fs.readFileSync(path, "utf8"))
      return isParked(value) && Process.startTime(value.pid) === value.startTime ? value : undefined
    } catch {
      return undefined
    }
  }

  const find = (session: string) => Effect.sync(() => readRecord(recordPath(session)))

  return Layer.succeed(Custody, {
    park: (session, fd) =>
      Effect.try({
        try: () => {
          Fs.mkdirSync(options.directory, { recursive: true, mode: 0o700 })
          const holder = spawn("sleep", ["infinity"], {
            argv0: "liveupdate-keeper",
            detached: true,
            stdio: ["ignore", "ignore", "ignore", fd]
          })
          holder.on("error", () => undefined)
          const startTime = holder.pid === undefined ? undefined : Process.startTime(holder.pid)
          if (holder.pid === undefined || startTime === undefined) throw new Error("the holder did not start")
          holder.unref()
          const parked: Parked = { session, pid: holder.pid, startTime, fd: HELD_FD }
          const path = recordPath(session)
          Fs.writeFileSync(`${path}.new`, JSON.stringify(parked), { mode: 0o600 })
          Fs.renameSync(`${path}.new`, path)
          return parked
        },
        catch: (error) => new ParkFailed({ session, reason: error instanceof Error ? error.message : String(error) })
      }),
    claim: (session) =>
      Effect.flatMap(find(session), (parked) =>
        parked === undefined
          ? Effect.succeed(undefined)
          : Fd.call("memfd.adopt", { session }, (kernel) => kernel.pidfdOpen(parked.pid)).pipe(
              Fd.scoped,
              Effect.flatMap((pidfd) =>
                Fd.call("memfd.adopt", { session }, (kernel) => kernel.pidfdGetfd(pidfd, parked.fd))
              ),
              Effect.scoped,
              // A holder that died a moment ago held nothing any more.
              Effect.orElseSucceed(() => undefined)
            )
      ),
    release: (session) =>
      Effect.map(find(session), (parked) => {
        if (parked !== undefined) process.kill(parked.pid, "SIGKILL")
        Fs.rmSync(recordPath(session), { force: true })
      }),
    list: Effect.sync(() => {
      if (!Fs.existsSync(options.directory)) return []
      return Fs.readdirSync(options.directory)
        .filter((name) => name.endsWith(".json"))
        .map((name) => readRecord(Path.join(options.directory, name)))
        .filter((parked) => parked !== undefined)
    })
  })
}
