/**
 * One QEMU as its monitor shows it: states, pausing, saving and loading.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Apart from "./Apart.ts"
import * as LentFile from "./LentFile.ts"
import * as ProcStat from "./ProcStat.ts"
import * as Qmp from "./Qmp.ts"
import type { StateTransfer, VmConnection, VmStatus } from "./Vmm.ts"
import {
  type ProcessExit,
  type QmpError,
  type VmmError,
  VmmExited,
  VmmStateUnexpected,
  VmmTransferFailed
} from "./VmmError.ts"

/** A QEMU process as the driver sees it, its own child or not. */
export interface Process {
  readonly vm: string
  readonly pid: number
  readonly ramFd: number
  readonly logPath: string
  /** Where this process's words begin in the log. */
  readonly logFrom: number
  readonly exit: Effect.Effect<ProcessExit>
  readonly kill: Effect.Effect<void>
}

/** Pausing flushes the disks; how long that takes is up to them. */
const PAUSE_DEADLINE = Duration.seconds(60)
const TRANSFER_DEADLINE = Duration.seconds(60)
const QUIT_DEADLINE = Duration.seconds(5)
/** A process that has closed its monitor because it ends is gone after this; else it is only the connection that ended. */
const EXIT_GRACE = Duration.seconds(2)

const LOG_TAIL_BYTES = 4096
const LOG_TAIL_LINES = 8

const tail = (path: string, from: number): ReadonlyArray<string> => {
  try {
    const bytes = fs.readFileSync(path)
    const text = bytes.subarray(Math.max(from, bytes.length - LOG_TAIL_BYTES)).toString("utf8")
    return text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .slice(-LOG_TAIL_LINES)
  } catch {
    return []
  }
}

export const exited = (qemu: Process, exit: ProcessExit): VmmExited =>
  new VmmExited({
    vm: qemu.vm,
    pid: qemu.pid,
    exit,
    logPath: qemu.logPath,
    logTail: tail(qemu.logPath, qemu.logFrom)
  })

/** A closed monitor is a symptom: when the process is gone, that and its last words are what matters. */
export const explain = (qemu: Process, symptom: QmpError): Effect.Effect<never, VmmError> =>
  qemu.exit.pipe(
    Effect.timeoutFail({ duration: EXIT_GRACE, onTimeout: () => symptom }),
    Effect.flatMap((exit) => exited(qemu, exit))
  )

/** The run states of QEMU's `qapi/run-state.json`, in the contract's words. */
const STATES: { readonly [status: string]: VmStatus["state"] } = {
  running: "running",
  postmigrate: "saved",
  inmigrate: "incoming",
  shutdown: "down",
  "guest-panicked": "down",
  "internal-error": "down"
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

const items = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const statusOf = (reply: unknown): VmStatus => {
  const detail = field(reply, "status")
  const text = typeof detail === "string" ? detail : "unknown"
  return { state: STATES[text] ?? "paused", detail: text }
}

const elapsedMs = (from: bigint, to: bigint): number => Number((to - from) / 1_000n) / 1_000

const isBefore = (version: Qmp.QmpVersion, major: number, minor: number): boolean =>
  version.major < major || (version.major === major && version.minor < minor)

/**
 * How QEMU gets to the file at a path. `file:` since QEMU 8.2; an `fd:` would have to be sent over the monitor,
 * and 9.1 and later refuse it for files. An older QEMU gets there through a child.
 */
const transferUri = (version: Qmp.QmpVersion, direction: "save" | "load", path: string): string => {
  if (!isBefore(version, 8, 2)) return `file:${path}`
  return direction === "save" ? `exec:cat >${path}` : `exec:cat ${path}`
}

export const connection = (qemu: Process, qmp: Qmp.Qmp): VmConnection => {
  const vm = qemu.vm

  const explained = <A>(effect: Effect.Effect<A, VmmError>): Effect.Effect<A, VmmError> =>
    Effect.catchTag(effect, "QmpClosed", (closed) => explain(qemu, closed))

  const queryStatus = Effect.map(qmp.execute("query-status"), statusOf)

  const expectState = (operation: string, ...expected: ReadonlyArray<VmStatus["state"]>) =>
    Effect.filterOrFail(
      queryStatus,
      (status) => expected.includes(status.state),
      (status) => new VmmStateUnexpected({ vm, operation, expected: expected.join(" or "), actual: status.detail })
    )

  /** The end of a migration as QEMU tells it. */
  const transferEnd = (next: Effect.Effect<Qmp.QmpEvent, QmpError>): Effect.Effect<string, QmpError> =>
    next.pipe(
      Effect.map(({ data, event }) => (event === "MIGRATION" ? field(data, "status") : undefined)),
      Effect.repeat({
        until: (status) => status === "completed" || status === "failed" || status === "cancelled"
      }),
      Effect.map(String)
    )

  const transfer = (
    direction: "save" | "load",
    fd: number,
    start: (uri: string) => Effect.Effect<unknown, VmmError>,
    settle: Effect.Effect<unknown, VmmError>
  ): Effect.Effect<StateTransfer, VmmError> =>
    Effect.scoped(
      Effect.gen(function* () {
        const before = yield* Clock.currentTimeNanos
        const next = yield* qmp.listen
        yield* qmp.execute("migrate-set-capabilities", {
          capabilities: [
            { capability: "events", state: true },
            // Guest RAM stays where it is: only what is not in the shared memfd goes into the state.
            { capability: "x-ignore-shared", state: true }
          ]
        })
        const path = yield* Effect.mapError(
          LentFile.path(qemu.pid, fd),
          (error) => new VmmTransferFailed({ vm, direction, reason: `it can't be given the file: ${error.message}` })
        )
        const end = yield* start(transferUri(qmp.version, direction, path)).pipe(
          Effect.zipRight(transferEnd(next)),
          Effect.timeoutFail({
            duration: TRANSFER_DEADLINE,
            onTimeout: () =>
              new VmmTransferFailed({ vm, direction, reason: `not done within ${Duration.format(TRANSFER_DEADLINE)}` })
          })
        )
        if (end !== "completed") {
          const reason = field(yield* qmp.execute("query-migrate"), "error-desc")
          return yield* new VmmTransferFailed({
            vm,
            direction,
            reason: typeof reason === "string" ? reason : `QEMU says "${end}"`
          })
        }
        yield* settle
        const after = yield* Clock.currentTimeNanos
        return { bytes: fs.fstatSync(fd).size, totalMs: elapsedMs(before, after) }
      })
    )

  /**
   * `completed` is told before QEMU is done: the run state follows, then a bottom half closes the file and waits for the child of an
   * `exec:` (`migration/migration.c`, `migration_iteration_finish`). No event tells either. The state follows within microseconds, and
   * the bottom half, scheduled with it, has run before QEMU reads another command.
   */
  const saved = queryStatus.pipe(
    Effect.repeat({ until: (status) => status.state === "saved", schedule: Schedule.spaced("1 millis") }),
    Effect.timeoutFail({
      duration: Qmp.COMMAND_DEADLINE,
      onTimeout: () =>
        new VmmStateUnexpected({ vm, operation: "saveState", expected: "saved", actual: "still finishing" })
    }),
    Effect.zipRight(qmp.execute("query-migrate"))
  )

  /** A save that is given up must not go on behind the back of whoever resumes the VM next. */
  const cancelSave = Effect.scoped(
    Effect.gen(function* () {
      const next = yield* qmp.listen
      const running = ["setup", "active", "device", "pre-switchover", "cancelling"]
      const migration = field(yield* qmp.execute("query-migrate"), "status")
      if (!running.includes(String(migration))) return
      yield* qmp.execute("migrate_cancel")
      yield* Effect.timeout(transferEnd(next), Qmp.COMMAND_DEADLINE)
    })
  ).pipe(Effect.ignore)

  const saveState = Effect.fn("Qemu.saveState")(function* (fd: number) {
    yield* expectState("saveState", "paused")
    return yield* transfer(
      "save",
      fd,
      // No bandwidth limit: the default one is meant for a network with other users, and it sleeps in steps of 100 ms.
      (uri) =>
        Effect.zipRight(
          qmp.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 40 }),
          qmp.execute("migrate", { uri })
        ),
      saved
    ).pipe(Effect.onError(() => Apart.run(cancelSave)))
  }, explained)

  const loadState = Effect.fn("Qemu.loadState")(function* (fd: number) {
    yield* expectState("loadState", "incoming")
    // Before 9.1 QEMU always exits on a state that it can't load: `VmmExited` then, with what it said.
    const stay = isBefore(qmp.version, 9, 1) ? {} : { "exit-on-error": false }
    return yield* transfer(
      "load",
      fd,
      (uri) => qmp.execute("migrate-incoming", { uri, ...stay }),
      expectState("loadState", "paused")
    )
  }, explained)

  /**
   * Other backends that are shared would be left out of the state as well, and nobody would carry them over.
   */
  const uncarriedMemory = Effect.map(qmp.execute("query-memdev"), (reply) =>
    items(reply)
      .filter((memory) => field(memory, "share") === true && field(memory, "id") !== "ram")
      .map((memory) => `the shared memory backend "${String(field(memory, "id"))}" would not be carried over`)
  )
  const blockedReasons = Effect.map(qmp.execute("query-migrate"), (reply) =>
    items(field(reply, "blocked-reasons")).map(String)
  )

  const unreachable = Effect.sync(() =>
    LentFile.isReachable(qemu.pid)
      ? []
      : [
          "it doesn't see the agent's /proc, where its state would be saved: it has a root directory or PID namespace of its own"
        ]
  )

  /** The kernel's words for each vCPU's thread: time that it ran, and how often it was switched, which is seen at once. */
  const activity = Effect.map(qmp.execute("query-cpus-fast"), (reply) =>
    items(reply)
      .map((cpu) => ProcStat.threadActivity(qemu.pid, Number(field(cpu, "thread-id"))))
      .reduce((sum, one) => sum + one, 0)
  )

  return {
    pid: qemu.pid,
    ramFd: qemu.ramFd,
    status: explained(queryStatus),
    saveBlockers: explained(
      Effect.map(Effect.all([blockedReasons, uncarriedMemory, unreachable]), (all) => all.flat())
    ),
    pause: qmp
      .execute("stop", undefined, PAUSE_DEADLINE)
      .pipe(
        Effect.zipRight(expectState("pause", "paused", "saved", "down", "incoming")),
        explained,
        Effect.asVoid,
        Effect.withSpan("Qemu.pause")
      ),
    resume: qmp
      .execute("cont")
      .pipe(
        Effect.zipRight(expectState("resume", "running")),
        explained,
        Effect.asVoid,
        Effect.withSpan("Qemu.resume")
      ),
    activity: explained(activity),
    saveState,
    loadState,
    quit: qmp.execute("quit", undefined, QUIT_DEADLINE).pipe(
      Effect.zipRight(qemu.exit),
      Effect.timeout(QUIT_DEADLINE),
      // Also when it closed the line before it answered, or doesn't answer any more.
      Effect.catchAll(() => qemu.kill),
      Effect.asVoid,
      Effect.withSpan("Qemu.quit")
    ),
    powerdown: explained(qmp.execute("system_powerdown")).pipe(Effect.asVoid, Effect.withSpan("Qemu.powerdown")),
    exited: Effect.asVoid(qemu.exit)
  }
}
