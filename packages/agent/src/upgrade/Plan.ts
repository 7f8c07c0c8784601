/**
 * What a live update would do, before anybody decides: what goes along, in which order things happen, what can't be undone, how long
 * guests would stand still, and everything that would refuse it.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Handle from "@liveupdate/sdk/Handle"
import * as Token from "@liveupdate/sdk/Token"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as CarriedAgent from "./CarriedAgent.ts"
import * as MemoryChecks from "./doctor/MemoryChecks.ts"
import * as Handover from "./Handover.ts"
import type * as Hooks from "./Hooks.ts"
import * as JumpWay from "./JumpWay.ts"
import * as Phase from "./Phase.ts"
import * as Preflight from "./Preflight.ts"
import * as After from "./phases/After.ts"
import * as Before from "./phases/Before.ts"
import * as RunEvents from "./RunEvents.ts"
import * as RunLog from "./RunLog.ts"
import * as TimeLine from "./TimeLine.ts"

/**
 * A file of a session, in the order in which they are preserved.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlannedFile {
  readonly name: string
  readonly token: string
  readonly kind: Handle.Kind
  /** Bytes; not known before it is written. */
  readonly bytes: number | undefined
  /** Whether the guest runs while it is preserved. */
  readonly whileRunning: boolean
  /** What becomes of it when the jump fails: it is kept as it is, or lost. */
  readonly ifJumpFails: Handle.AfterFreeze["fate"]
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PlannedSession {
  readonly session: string
  readonly vm?: string
  readonly files: ReadonlyArray<PlannedFile>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PlannedPhase {
  readonly phase: string
  readonly side: "before" | "at" | "after"
  /** Seconds; none for the jump. */
  readonly deadline: number | undefined
  readonly undo: string
}

/**
 * The last live update of this host that came through.
 *
 * @since 0.1.0
 * @category models
 */
export interface MeasuredRun {
  readonly run: string
  readonly blackouts: ReadonlyArray<TimeLine.Blackout>
}

/**
 * A way to the next kernel, to be compared with the other one.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlannedWay extends JumpWay.Description {
  readonly jump: JumpWay.JumpWay
  readonly measured: MeasuredRun | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Plan {
  /** The way to the next kernel that it is for; `phases`, `irreversible` and `measured` are of it. */
  readonly jump: JumpWay.JumpWay
  /** This one first, and what the other would cost. */
  readonly ways: ReadonlyArray<PlannedWay>
  readonly from: string
  readonly to: string | undefined
  readonly kernel: string
  readonly sessions: ReadonlyArray<PlannedSession>
  readonly phases: ReadonlyArray<PlannedPhase>
  /** Paths by the hook's name. */
  readonly hooks: Hooks.Hooks
  /** What no undo takes back, one sentence each. */
  readonly irreversible: ReadonlyArray<string>
  /** Of the last one that went this way, if there was one. */
  readonly measured: MeasuredRun | undefined
  /** Bytes that are preserved and known now, and that the host has left (MemAvailable). */
  readonly memory: { readonly preserved: number; readonly available: number | undefined }
  /** What could not be found out. */
  readonly unknown: ReadonlyArray<string>
  /** Why `agent upgrade` would refuse, in the order in which it would find out. */
  readonly refusals: ReadonlyArray<string>
}

const undos: Readonly<Record<Exclude<Before.Name | After.Name, keyof JumpWay.Description["undo"]>, string>> = {
  preflight: "nothing is touched yet",
  "preserve-running": "the kernel gives every file back",
  pause: "the guest runs again",
  "save-state": "the VMM takes its guest back when it runs again",
  "preserve-state": "it goes with the session",
  retrieve: "none, only forward: what fails is parked",
  restore: "none, only forward: what fails is parked",
  resume: "none, only forward: what fails is parked",
  verify: "none, only forward: what fails is parked",
  finish: "none: the memory is the VMM's from then on",
  report: "none is needed"
}

const phasesOf = ({ undo }: JumpWay.Description, deadlines: Phase.Deadlines | undefined): ReadonlyArray<PlannedPhase> =>
  [...Before.phases, ...After.phases].map((phase) => {
    const { name, side } = phase
    const { deadline } = Phase.withDeadline(phase, deadlines)
    return {
      phase: name,
      side,
      deadline: Duration.isFinite(deadline) ? Duration.toSeconds(deadline) : undefined,
      undo: { ...undos, ...undo }[name]
    }
  })

const memfd = (name: string, token: bigint, bytes: number | undefined, whileRunning: boolean): PlannedFile => ({
  name,
  token: String(token),
  kind: "memfd",
  bytes,
  whileRunning,
  ifJumpFails: Handle.afterFreeze.memfd.fate
})

const sessionOf = ({ id, config }: Preflight.Examined["vms"][number]): PlannedSession => ({
  session: Handover.vmSession(id),
  vm: id,
  files: [
    memfd("ram", Handover.tokens.ram, config.memoryBytes, true),
    memfd("state", Handover.tokens.state, undefined, false),
    memfd("manifest", Token.manifest, undefined, false)
  ]
})

/**
 * What is lost when the jump fails, and what to do then.
 *
 * @since 0.1.0
 * @category pure
 */
export const lostByFailure = (sessions: ReadonlyArray<PlannedSession>): ReadonlyArray<string> =>
  sessions.flatMap(({ files, session, vm }) =>
    files.flatMap(({ kind, name }) => {
      const after = Handle.afterFreeze[kind]
      const where = vm === undefined ? `session ${session}` : `VM ${vm}`
      return after.fate === "kept" ? [] : [`file ${name} of ${where}: ${after.lost}. ${after.next}`]
    })
  )

const size = (path: string) => Fs.statSync(path, { throwIfNoEntry: false })?.size

/** What goes along for the second half, where the first process knows what to do with it, and systemd doesn't come before it. */
const agentSession = (way: JumpWay.JumpWay): ReadonlyArray<PlannedSession> =>
  way === "direct" && Fs.existsSync(CarriedAgent.firstProcessMark)
    ? [
        {
          session: CarriedAgent.session,
          files: [
            memfd("program", CarriedAgent.tokens.program, size(process.execPath), true),
            memfd("snapshot", CarriedAgent.tokens.snapshot, undefined, true),
            memfd("start", CarriedAgent.tokens.start, undefined, true)
          ]
        }
      ]
    : []

const available = (): number | undefined => {
  try {
    return MemoryChecks.availableBytes(Fs.readFileSync("/proc/meminfo", "utf8"))
  } catch {
    return undefined
  }
}

/** Of each way the newest run whose time line is whole. */
const lastMeasured = (directory: string | undefined) =>
  Effect.gen(function* () {
    const found: Partial<Record<JumpWay.JumpWay, MeasuredRun>> = {}
    for (const run of [...(yield* RunLog.list(directory))].reverse().slice(0, 20)) {
      const events = yield* RunEvents.of(run, directory)
      const line = TimeLine.make(events)
      if (line !== undefined) found[JumpWay.taken(events)] ??= { run, blackouts: line.blackouts }
      if (found.direct !== undefined && found.systemd !== undefined) break
    }
    return found
  })

/**
 * Makes it, and changes nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Preflight.UpgradeOptions, directory?: string) =>
  Effect.gen(function* () {
    const examined = yield* Preflight.examine(options)
    const jump = JumpWay.of(options.jump)
    const way = JumpWay.descriptions[jump]
    const measured = yield* lastMeasured(directory)
    const sessions = [
      ...agentSession(jump),
      { session: Handover.indexSession, files: [memfd("manifest", Token.manifest, undefined, true)] },
      ...examined.vms.map(sessionOf)
    ]
    const preserved = sessions.flatMap((_) => _.files).reduce((sum, file) => sum + (file.bytes ?? 0), 0)
    const { abandon = [] } = options
    return {
      jump,
      ways: ([jump, jump === "direct" ? "systemd" : "direct"] as const).map((jump) => ({
        jump,
        ...JumpWay.descriptions[jump],
        measured: measured[jump]
      })),
      from: examined.from,
      to: examined.to,
      kernel: options.kernel,
      sessions,
      phases: phasesOf(way, options.deadlines),
      hooks: examined.hooks,
      irreversible: [
        way.irreversible,
        ...examined.stopped.map(
          (id) => `VM ${id} is shut down before it (--stop-others), and stays so if the live update is undone`
        ),
        ...abandon.map((id) => `VM ${id} dies with the old kernel (--abandon)`),
        ...lostByFailure(sessions)
      ],
      measured: measured[jump],
      memory: { preserved, available: available() },
      unknown: examined.unknown,
      refusals: examined.refusals.map((error) => error.message)
    } satisfies Plan as Plan
  })
