/**
 * The way to the next kernel through systemd: services stop in order, and what they have stored is kept.
 *
 * The sessions outlive the agent in the file descriptor store of `liveupdate-resume.service`. A process of that unit does nothing but be
 * there, and the agent stores in its name (sd_pid_notify(3)). systemd 261 and later closes what is stored last of all, opens
 * /dev/liveupdate itself to list it in a session named "systemd", retrieves all of it at boot, and passes it to the unit's next start
 * (`src/core/luo.c`, `src/shared/luo-util.c`).
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type * as Preservation from "@liveupdate/sdk/Preservation"
import * as SdNotify from "@liveupdate/sdk/SdNotify"
import * as SystemdFdStore from "@liveupdate/sdk/SystemdFdStore"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { firstLineOf } from "../vmm/SystemError.ts"
import * as HostFacts from "./HostFacts.ts"
import { HostStayed, PreconditionFailed, SystemdRefused } from "./UpgradeError.ts"

/**
 * The unit whose store has the sessions, and that systemd passes them to.
 *
 * @since 0.1.0
 * @category constants
 */
export const unit = "liveupdate-resume.service"

/**
 * Holds the boot id of the kernel that is left through systemd. On that boot the unit's process waits; on the next one it says to the first
 * process that systemd brings the sessions. `early` reads it.
 *
 * @since 0.1.0
 * @category constants
 */
export const mark = "/var/lib/liveupdate/systemd-jump"

/**
 * What a host may take to go once systemd has the order: a service that doesn't stop is ended after 90 s (`DefaultTimeoutStopSec=`).
 *
 * @since 0.1.0
 * @category constants
 */
export const PATIENCE: Duration.Duration = Duration.minutes(3)

/** The first release that hands file descriptor stores over. */
const OLDEST_SYSTEMD = 261

/**
 * Sessions that go along: those that somebody else is to hold too.
 *
 * @since 0.1.0
 * @category models
 */
export type Carried = Pick<Preservation.Preservation, "session" | "fd">

/**
 * @since 0.1.0
 * @category models
 */
export interface SystemdJump {
  /** Fails with `PreconditionFailed` where systemd can't carry the sessions of so many VMs. */
  readonly check: (vms: number) => Effect.Effect<void, PreconditionFailed>
  /** While guests run: makes a place for the sessions, given up with the scope. */
  readonly prepare: Effect.Effect<void, SystemdRefused, Scope.Scope>
  /** Stores the sessions, and goes. Returns only by failing; then nothing is on its way any more, and the store is `prepare`'s to empty. */
  readonly jump: (
    run: string,
    sessions: ReadonlyArray<Carried>
  ) => Effect.Effect<never, SystemdRefused | HostStayed | SdNotify.NotifyFailed>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Ends when this process is told to end, as systemd tells every process of a host that goes down. */
  readonly told: Effect.Effect<void>
  /** Ends this process with all that it has open, and undoes nothing. */
  readonly end: Effect.Effect<never>
  readonly patience?: Duration.Duration
  /** What is there where systemd runs the host (sd_booted(3)). */
  readonly runtime?: string
}

const systemctl = (...args: ReadonlyArray<string>): Effect.Effect<string, SystemdRefused> =>
  Effect.async((resume) => {
    execFile("systemctl", [...args], (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.succeed(stdout.trim())
          : Effect.fail(
              new SystemdRefused({
                command: `systemctl ${args.join(" ")}`,
                detail: stderr.trim().split("\n").at(-1) || stdout.trim() || firstLineOf(error)
              })
            )
      )
    )
  })

const properties = (about: ReadonlyArray<string>, names: ReadonlyArray<string>) =>
  Effect.map(
    systemctl("show", ...about, ...names.map((name) => `--property=${name}`)),
    (text) => new Map(text.split("\n").map((line) => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]))
  )

const refuse = (what: string, next: string) => new PreconditionFailed({ what, next })

const check = (runtime: string, vms: number): Effect.Effect<void, PreconditionFailed> =>
  Effect.gen(function* () {
    if (!Fs.existsSync(runtime))
      return yield* refuse("This host isn't run by systemd", "Jump without it: --jump direct")
    const version = (yield* properties([], ["Version"])).get("Version") ?? ""
    if (!(Number.parseInt(version, 10) >= OLDEST_SYSTEMD))
      return yield* refuse(
        `systemd ${version} doesn't hand anything over to the next kernel, ${OLDEST_SYSTEMD} was the first to`,
        "Jump without it: --jump direct"
      )
    const found = yield* properties(
      [unit],
      ["LoadState", "UnitFileState", "FileDescriptorStoreMax", "FileDescriptorStorePreserve", "NeedDaemonReload"]
    )
    const install = "Install the unit that comes with the agent, then: systemctl daemon-reload, systemctl enable"
    if (found.get("LoadState") !== "loaded")
      return yield* refuse(`${unit} is ${found.get("LoadState") ?? "unknown"} to systemd`, `${install} ${unit}`)
    if (found.get("UnitFileState") !== "enabled")
      return yield* refuse(
        `${unit} is ${found.get("UnitFileState") ?? "unknown"}, so nobody would take the sessions up at boot`,
        `systemctl enable ${unit}`
      )
    if (found.get("FileDescriptorStorePreserve") !== "yes")
      return yield* refuse(`${unit} has no FileDescriptorStorePreserve=yes`, `${install} ${unit}`)
    const room = Number(found.get("FileDescriptorStoreMax"))
    // One for each VM, one that lists them.
    if (!(room >= vms + 1))
      return yield* refuse(
        `${unit} has room for ${room} sessions (FileDescriptorStoreMax=), ${vms + 1} are needed`,
        `systemctl edit ${unit}`
      )
  }).pipe(Effect.catchTag("SystemdRefused", (error) => refuse(error.message.replace(/\.$/, ""), "Nothing was touched")))

const isMarked = Effect.map(HostFacts.bootId, (boot) => {
  try {
    return Fs.readFileSync(mark, "utf8").trim() === boot
  } catch {
    return false
  }
})

/**
 * Whether this host is on its way to the next kernel through systemd. One that doesn't answer any more is.
 *
 * @since 0.1.0
 * @category accessors
 */
export const isLeaving: Effect.Effect<boolean> = Effect.flatMap(isMarked, (marked) =>
  marked
    ? Effect.async<boolean>((resume) => {
        // Exits with 1 for most of the states.
        execFile("systemctl", ["is-system-running"], (_error, stdout) =>
          resume(Effect.succeed(!/^(initializing|starting|running|degraded|maintenance)$/.test(stdout.trim())))
        )
      })
    : Effect.succeed(false)
)

/**
 * Empties the store again, if anything on this boot has filled it: whatever is in it would be held for ever.
 *
 * @since 0.1.0
 * @category operations
 */
export const release: Effect.Effect<void> = Effect.flatMap(isMarked, (marked) =>
  marked
    ? systemctl("stop", unit).pipe(
        Effect.zipRight(systemctl("clean", "--what=fdstore", unit)),
        Effect.catchAll((error) => Effect.logError(error.message)),
        Effect.zipRight(Effect.sync(() => Fs.rmSync(mark, { force: true })))
      )
    : Effect.void
)

const prepare = Effect.acquireRelease(
  Effect.map(HostFacts.bootId, (boot) => {
    Fs.mkdirSync(Path.dirname(mark), { recursive: true, mode: 0o700 })
    Fs.writeFileSync(mark, `${boot}\n`, { mode: 0o600 })
  }),
  () => release
).pipe(
  // However often it was started or has failed on this boot: systemd would refuse to start it (StartLimitBurst=).
  Effect.zipRight(systemctl("reset-failed", unit)),
  // One that is about to end, after a boot, is not waited for.
  Effect.zipRight(systemctl("restart", unit)),
  Effect.asVoid,
  Effect.withSpan("SystemdJump.prepare")
)

const store = (run: string, sessions: ReadonlyArray<Carried>) =>
  Effect.gen(function* () {
    const before = yield* properties([unit], ["MainPID"])
    const pid = Number(before.get("MainPID"))
    if (!(pid > 0))
      return yield* new SystemdRefused({ command: `systemctl start ${unit}`, detail: "its process has ended" })
    const notifier = yield* SdNotify.open()
    for (const { session, fd } of sessions) yield* notifier.send(SystemdFdStore.store(session), { file: fd, pid })
    yield* notifier.send({ STATUS: `Holds ${sessions.length} sessions of run ${run}` }, { pid })
    yield* notifier.settled
    // A notification isn't answered: what systemd didn't take would die with this process.
    const stored = Number((yield* properties([unit], ["NFileDescriptorStore"])).get("NFileDescriptorStore"))
    if (stored !== sessions.length)
      return yield* new SystemdRefused({
        command: `FDSTORE=1 for ${unit}`,
        detail: `${stored} of ${sessions.length} sessions were stored`
      })
  }).pipe(Effect.scoped, Effect.withSpan("SystemdJump.store"))

/** Whatever is under way to the next kernel is given up. */
const callBack = systemctl("cancel").pipe(Effect.ignore)

const stayed = (patience: Duration.Duration) =>
  systemctl("list-jobs", "--no-legend", "--plain").pipe(
    Effect.orElseSucceed(() => ""),
    Effect.flatMap((jobs) => {
      const running = jobs.split("\n").flatMap((line) => (/ running$/.test(line) ? [line.split(/\s+/)[1] ?? ""] : []))
      return Effect.fail(
        new HostStayed({ patience: Duration.format(patience), jobs: running.join(", ") || "nothing that it says" })
      )
    })
  )

/**
 * When systemd has the order: it tells everybody to end, and that is how this process learns that the host goes; or it is ended by SIGKILL.
 *
 * @since 0.1.0
 * @category operations
 */
export const leave = ({ told, end, patience = PATIENCE }: Options): Effect.Effect<never, SystemdRefused | HostStayed> =>
  told.pipe(
    Effect.zipRight(isLeaving),
    Effect.flatMap((leaving) =>
      leaving
        ? end
        : Effect.fail(new SystemdRefused({ command: "systemctl kexec", detail: "the agent was told to end before" }))
    ),
    Effect.raceFirst(Effect.zipRight(Effect.sleep(patience), stayed(patience)))
  )

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): SystemdJump => ({
  check: (vms) => check(options.runtime ?? "/run/systemd/system", vms),
  prepare,
  jump: (run, sessions) =>
    store(run, sessions).pipe(
      Effect.zipRight(systemctl("kexec")),
      Effect.zipRight(leave(options)),
      Effect.tapError(() => callBack),
      Effect.withSpan("SystemdJump.jump")
    )
})
