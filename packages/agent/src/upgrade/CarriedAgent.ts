/**
 * The second half of a live update, sent along with the memory: Node, the start-up snapshot, and what to do with them lie in
 * a session of their own. The next kernel's first process starts them from there before anything is read from a disk, and the VMMs
 * beside them (`packages/qemu-host/host/resume.c`).
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Token from "@liveupdate/sdk/Token"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as StartInstructions from "./StartInstructions.ts"
import * as Turn from "./Turn.ts"

/**
 * @since 0.1.0
 * @category constants
 */
export const session = "liveupdate-agent"

/**
 * Tokens of its session.
 *
 * @since 0.1.0
 * @category constants
 */
export const tokens = { program: Token.make(1n), snapshot: Token.make(2n), start: Token.make(3n) } as const

/** The descriptor under which the started program finds its snapshot. */
const SNAPSHOT_FD = 4

/**
 * A first process that knows what to do with the session says so here, at every boot.
 *
 * @since 0.1.0
 * @category constants
 */
export const firstProcessMark = "/run/liveupdate/first-process"

/**
 * @since 0.1.0
 * @category models
 */
export interface CarriedAgent {
  /** Path of the Node that runs it. */
  readonly program: string
  /** Path of its start-up snapshot. */
  readonly snapshot: string
  /** Node's flags, the same that the snapshot was made with. */
  readonly flags: ReadonlyArray<string>
  /** Paths of files that the VMMs will need next. */
  readonly readAhead: ReadonlyArray<string>
  /** Sessions to retrieve and hold, besides those of the VMs. */
  readonly sessions: ReadonlyArray<string>
  readonly vms: ReadonlyArray<StartInstructions.VmmToStart>
}

/** What Node says while it makes a snapshot, whether or not anything is wrong. */
const isNoise = (line: string) => line === "" || line.startsWith("Deleting Error.stackTraceLimit")

/** Runs a program to its end; fails with the last line that it said. */
export const runToEnd = (file: string, args: ReadonlyArray<string>): Effect.Effect<void, Error> =>
  Effect.async((resume) => {
    const child = execFile(file, [...args], { env: { PATH: process.env["PATH"] ?? "" } }, (error, _stdout, stderr) =>
      resume(
        error === null
          ? Effect.void
          : Effect.fail(new Error(stderr.split("\n").findLast((line) => !isNoise(line)) ?? error.message))
      )
    )
    return Effect.sync(() => child.kill())
  })

const pathOf = (memfd: Memfd.Memfd) => `/proc/${process.pid}/fd/${memfd.fd}`

/** Copied by another process: files pass through ours only if they are small. */
const copyOf = (name: string, path: string) =>
  Effect.gen(function* () {
    const { size } = yield* Effect.try(() => Fs.statSync(path))
    const memfd = yield* Memfd.create({ name, size })
    yield* runToEnd("dd", [`if=${path}`, `of=${pathOf(memfd)}`, "bs=4M", "conv=notrunc", "status=none"])
    return memfd
  })

const start = ({ flags, readAhead, sessions, vms }: CarriedAgent) =>
  Effect.try(() =>
    StartInstructions.encode({
      arguments: ["node", ...flags, "--snapshot-blob", `/proc/self/fd/${SNAPSHOT_FD}`, "resume"],
      readAhead,
      sessions,
      vms
    })
  )

const make = (agent: CarriedAgent) =>
  Effect.gen(function* () {
    const program = yield* copyOf("liveupdate-program", agent.program)
    const snapshot = yield* copyOf("liveupdate-snapshot", agent.snapshot)
    const text = yield* start(agent)
    const instructions = yield* Memfd.create({ name: "liveupdate-start", size: text.length })
    yield* Memfd.write(instructions, 0, text)
    const outgoing = yield* Turn.ofDevice(LiveUpdate.create(session))
    yield* outgoing.preserve(program, tokens.program)
    yield* outgoing.preserve(snapshot, tokens.snapshot)
    yield* outgoing.preserve(instructions, tokens.start)
    // From these very files: what doesn't start now would not start there either, with the guests standing still. And only now:
    // preserving moves pages that lie where the next kernel will (memfd_pin_folios in mm/gup.c; the scratch areas are CMA), and an
    // emulator keeps what it has translated for as long as a page stays in its place.
    yield* runToEnd(pathOf(program), [...agent.flags, "--snapshot-blob", pathOf(snapshot), "resume", "--rehearse"])
  })

/**
 * Preserves the second half and rehearses it, if this host's first process starts it from there. Without it the second half
 * starts from the disk, only later, so a failure is a warning, and leaves nothing preserved.
 *
 * @since 0.1.0
 * @category operations
 */
export const preserve = (agent: CarriedAgent): Effect.Effect<void, never, LiveUpdate.LiveUpdate | Scope.Scope> =>
  Effect.gen(function* () {
    if (!Fs.existsSync(firstProcessMark)) return
    const scope = yield* Effect.flatMap(Effect.scope, (outer) => Scope.fork(outer, ExecutionStrategy.sequential))
    yield* make(agent).pipe(
      Scope.extend(scope),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
  }).pipe(
    Effect.catchAll((error: LiveUpdateError | Error) =>
      Effect.logWarning("the second half can't be sent along, the blackout will be longer", error.message)
    ),
    Effect.withSpan("CarriedAgent.preserve")
  )

/**
 * Frees what was sent along, after a boot whose first process has left it lying.
 *
 * @since 0.1.0
 * @category operations
 */
export const discard: Effect.Effect<void, never, LiveUpdate.LiveUpdate> = Effect.scoped(
  Effect.flatMap(LiveUpdate.retrieve(session), (incoming) => incoming.finish)
).pipe(Effect.ignore)
