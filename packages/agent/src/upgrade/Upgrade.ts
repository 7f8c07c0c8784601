/**
 * The half of a live update that runs on the old kernel: everything up to the jump, and the way back from every step of it.
 *
 * The undo is the scope: the next kernel is unloaded, the sessions are closed (which gives every file back), the VMs
 * resumed, in reverse order. The jump is called inside all those scopes; if it succeeds, none of them ever ends.
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as HostLock from "@liveupdate/sdk/HostLock"
import * as KernelImage from "@liveupdate/sdk/KernelImage"
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Preservation from "@liveupdate/sdk/Preservation"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Lifecycle from "../vmm/Lifecycle.ts"
import type { VmRecord } from "../vmm/Vm.ts"
import { type VmConnection, Vmm } from "../vmm/Vmm.ts"
import type { VmmError } from "../vmm/VmmError.ts"
import { type VmNotFound, type VmRecordCorrupt, VmStore, type VmStoreFailed } from "../vmm/VmStore.ts"
import * as CommandLine from "./CommandLine.ts"
import * as TargetChecks from "./doctor/TargetChecks.ts"
import * as TargetFacts from "./doctor/TargetFacts.ts"
import * as Handover from "./Handover.ts"
import * as HostClock from "./HostClock.ts"
import * as HostFacts from "./HostFacts.ts"
import * as Recovery from "./Recovery.ts"
import { type RunLog, reasonOf } from "./RunLog.ts"
import { PreconditionFailed, RolledBack } from "./UpgradeError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface UpgradeOptions {
  /** Ids, or every VM that runs and isn't abandoned. */
  readonly vms: ReadonlyArray<string> | "all"
  /** Running VMs that may die with the old kernel. */
  readonly abandon?: ReadonlyArray<string>
  /** Shuts down the running VMs that are not carried, once everything else is known to be right. */
  readonly stopOthers?: boolean
  readonly kernel: string
  readonly initrd?: string
  readonly commandLine: string
  /** Makes ready, while the guests run, what lets the second half start faster; see `QuickStart`. */
  readonly prepare?: (
    vms: ReadonlyArray<VmRecord>
  ) => Effect.Effect<void, never, LiveUpdate.LiveUpdate | Vmm | Scope.Scope>
}

/** A VM to carry: its record, and a line to its VMM. */
interface Target {
  readonly record: VmRecord
  readonly connection: VmConnection
}

type PreflightError =
  | PreconditionFailed
  | LiveUpdateError
  | KernelImage.KernelImageInvalid
  | VmNotFound
  | VmRecordCorrupt
  | VmStoreFailed
  | VmmError

/** What a guest that is stopped for it may take to shut down, before its VMM is ended. */
const STOP_PATIENCE = "60 seconds"

const fail = (what: string, next: string) => new PreconditionFailed({ what, next })

/** The parameters without which the next kernel would throw away what it is handed. */
const checkCommandLine = (commandLine: string): Effect.Effect<void, PreconditionFailed> => {
  if (CommandLine.switchOf(commandLine, "liveupdate") !== true)
    return fail(
      "The next kernel's command line doesn't turn live update on, so the guests' memory would be lost",
      `Add liveupdate=on, or use --reuse-cmdline. It was: ${commandLine}`
    )
  if (CommandLine.switchOf(commandLine, "kho") === false)
    return fail("The next kernel's command line turns kexec handover off", `Remove kho=off. It was: ${commandLine}`)
  return Effect.void
}

/**
 * Looks into the next kernel, and refuses one that is known not to read what this one leaves to it. Returns what could not be
 * found out.
 */
const checkTarget = (
  options: UpgradeOptions
): Effect.Effect<ReadonlyArray<string>, PreconditionFailed | KernelImage.KernelImageInvalid> =>
  Effect.gen(function* () {
    const facts = yield* TargetFacts.look(options)
    if (facts.contents._tag === "refused") return yield* facts.contents.error
    const findings = TargetChecks.judge(facts)
    const [first, ...others] = findings.filter(({ verdict }) => verdict === "fail")
    if (first !== undefined)
      return yield* fail(
        `${options.kernel} can't take over from the running kernel: ${[first, ...others].map((_) => _.detail).join("; ")}`,
        first.next ?? ""
      )
    return findings.flatMap(({ detail, verdict }) => (verdict === "unknown" ? [detail] : []))
  })

/** What becomes of each running VM of this host: carried, or not. Refuses when one would die with the kernel that nobody spoke of. */
const chooseVms = ({ vms, abandon = [], stopOthers = false }: UpgradeOptions) =>
  Effect.gen(function* () {
    const store = yield* VmStore
    const vmm = yield* Vmm
    const running = yield* Effect.filter(yield* store.list, vmm.isRunning)
    const ids = vms === "all" ? running.map((_) => _.id).filter((id) => !abandon.includes(id)) : vms
    if (new Set(ids).size !== ids.length) return yield* fail("A VM is named twice", "Name each VM once with --vm")
    if (ids.length === 0)
      return yield* fail("No VM runs here that could be carried", "Without one an ordinary reboot does the same")
    const both = ids.find((id) => abandon.includes(id))
    if (both !== undefined)
      return yield* fail(`VM ${both} can't be carried and abandoned`, "Name it with --vm or with --abandon")
    // A name that is mistyped must not go unnoticed.
    yield* Effect.forEach(abandon, (id) => store.get(id), { discard: true })
    const records = yield* Effect.forEach(ids, (id) => store.get(id))
    const others = running.filter(({ id }) => !ids.includes(id) && !abandon.includes(id)).map((_) => _.id)
    if (others.length > 0 && !stopOthers)
      return yield* fail(
        `kexec takes the whole host, and these running VMs are not part of the live update: ${others.join(", ")}`,
        "Name them with --vm or take --all, let them die with --abandon ID, or stop them: --stop-others, agent vm stop ID"
      )
    return { records, others }
  })

/** The VMs to carry, connected. */
const findTargets = (records: ReadonlyArray<VmRecord>) =>
  Effect.gen(function* () {
    const vmm = yield* Vmm
    return yield* Effect.forEach(records, (record) =>
      Effect.gen(function* () {
        const connection = yield* vmm.connect(record)
        const status = yield* connection.status
        if (status.state !== "running")
          return yield* fail(
            `VM ${record.id} is not running but ${status.state} (${status.detail})`,
            status.state === "paused" || status.state === "saved"
              ? "If a live update was interrupted, run: agent resume"
              : "Start it first, or leave it out"
          )
        const blockers = yield* connection.saveBlockers
        if (blockers.length > 0)
          return yield* fail(`VM ${record.id} can't be saved: ${blockers.join("; ")}`, "Remove what blocks it")
        return { record, connection } satisfies Target
      })
    )
  })

const preflight = (
  options: UpgradeOptions
): Effect.Effect<
  {
    readonly targets: ReadonlyArray<Target>
    /** Ids of VMs that were shut down for it. */
    readonly stopped: ReadonlyArray<string>
    readonly image: KernelImage.KernelImage
    readonly from: string
    /** What of the next kernel could not be found out. */
    readonly unknown: ReadonlyArray<string>
  },
  PreflightError,
  Scope.Scope | VmStore | Vmm | LiveUpdate.LiveUpdate
> =>
  Effect.gen(function* () {
    if (process.getuid?.() !== 0) return yield* fail("A live update needs root", "Run the agent as root")
    yield* LiveUpdate.probe
    const image = yield* KernelImage.inspect(options.kernel)
    if (options.initrd !== undefined) yield* checkReadable(options.initrd)
    yield* checkCommandLine(options.commandLine)
    const unknown = yield* checkTarget(options)
    yield* HostLock.acquire()
    const interrupted = yield* Recovery.leftBehind()
    if (interrupted !== undefined)
      return yield* fail(
        `An earlier live update (${interrupted.run}) was interrupted before its jump`,
        "Give its VMs back first: agent resume"
      )
    const { records, others } = yield* chooseVms(options)
    const targets = yield* findTargets(records)
    // The last of the preflight, as it isn't undone. A guest that can't be stopped would die, so it is refused.
    yield* Effect.forEach(others, (id) => Lifecycle.stop(id, STOP_PATIENCE), {
      concurrency: "unbounded",
      discard: true
    })
    return { targets, stopped: others, image, from: yield* HostFacts.kernelRelease, unknown }
  })

const checkReadable = (path: string): Effect.Effect<void, PreconditionFailed> =>
  Effect.try({
    try: () => {
      Fs.accessSync(path, Fs.constants.R_OK)
      if (!Fs.statSync(path).isFile()) throw new Error("not a regular file")
    },
    catch: () => fail(`The initrd ${path} can't be read`, "Check the path")
  })

/** Writes dirty pages back: what is only in the page cache dies with the kernel. */
const sync: Effect.Effect<void> = Effect.async((resume) => {
  execFile("sync", () => resume(Effect.void))
})

/** A session with the guest's RAM in it, made while the guest runs. */
interface Carried extends Target {
  readonly preservation: Preservation.Preservation
  readonly state: Memfd.Memfd
}

const preserveRunning = (target: Target, log: RunLog) =>
  Effect.gen(function* () {
    const { record } = target
    const ram = yield* Memfd.adopt({ pid: record.pid, fd: record.ramFd })
    const preservation = yield* Preservation.open({
      session: Handover.vmSession(record.id),
      files: { ram: { file: ram, token: Handover.tokens.ram } }
    })
    // Grows as the VMM writes it: its size is frozen only when it is preserved.
    const state = yield* Memfd.create({ name: `liveupdate-state-${record.id}`, size: 0 })
    return { ...target, preservation, state } satisfies Carried
  }).pipe(
    log.step("preserve-running", {
      vm: target.record.id,
      describe: () => ({ memoryBytes: target.record.config.memoryBytes })
    })
  )

/** The list of sessions, for the next kernel's agent. */
const preserveIndex = (targets: ReadonlyArray<Target>, log: RunLog) =>
  Effect.flatMap(HostFacts.bootId, (boot) =>
    Preservation.preserve({ session: Handover.indexSession, files: {} }, Handover.Index, {
      version: 1,
      run: log.run,
      boot,
      vms: targets.map(({ record }) => ({ id: record.id, session: Handover.vmSession(record.id) }))
    })
  )

/** How far the guest's console had come, so that a reader finds the place of the jump in it. */
const sizeOf = (path: string): number => Fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** Pauses a VM for as long as the scope lives: if the jump doesn't happen, it runs again. */
const pause = ({ record, connection }: Target, log: RunLog, notResumed: Array<NotResumed>) =>
  Effect.acquireRelease(
    connection.pause.pipe(
      log.step("pause", { vm: record.id, describe: () => ({ consoleBytes: sizeOf(record.consolePath) }) })
    ),
    () =>
      connection.resume.pipe(
        Effect.zipRight(log.emit({ type: "step", step: "pause", status: "undone", vm: record.id })),
        Effect.catchAll((error) =>
          Effect.sync(() => notResumed.push({ vm: record.id, reason: reasonOf(error) })).pipe(
            Effect.zipRight(Effect.logError(`VM ${record.id} could not be resumed`, error))
          )
        )
      )
  )

const saveState = ({ record, connection, state }: Carried, log: RunLog) =>
  connection
    .saveState(state.fd)
    .pipe(log.step("save-state", { vm: record.id, describe: ({ bytes }) => ({ stateBytes: bytes }) }))

const preserveState = ({ record, preservation, state }: Carried, log: RunLog) =>
  Effect.gen(function* () {
    yield* preservation.extend({ state: { file: state, token: Handover.tokens.state } })
    const { config, createdAt } = record
    yield* preservation.complete(Handover.Vm, { version: 1, run: log.run, config, createdAt })
  }).pipe(log.step("preserve-state", { vm: record.id }))

type NotResumed = RolledBack["notResumed"][number]

/** Everything that has an undo, and at its innermost the one step that has none. */
const carry = (options: UpgradeOptions, targets: ReadonlyArray<Target>, log: RunLog, notResumed: Array<NotResumed>) =>
  Effect.gen(function* () {
    yield* Recovery.note({ version: 1, run: log.run, vms: targets.map((_) => _.record.id) })
    yield* Kexec.load(options).pipe(log.step("load-kernel"))
    yield* (options.prepare?.(targets.map((_) => _.record)) ?? Effect.void).pipe(log.step("prepare"))
    // Counted from where guest RAM comes in: before, a copy of Node was made.
    const cost = yield* HostFacts.processCost()
    const clock = yield* Effect.fork(HostClock.calibrate)
    yield* preserveIndex(targets, log)
    const carried = yield* Effect.forEach(targets, (target) => preserveRunning(target, log), { concurrency: 2 })
    yield* sync.pipe(log.step("sync"))
    yield* log.emit({ type: "clock", ...(yield* clock) })

    // From here on guests stand still: nothing that could have been done before may be done now.
    yield* Effect.forEach(carried, (target) => pause(target, log, notResumed), {
      concurrency: "unbounded",
      discard: true
    })
    yield* Effect.all(
      [sync, Effect.forEach(carried, (target) => saveState(target, log), { concurrency: "unbounded", discard: true })],
      { concurrency: "unbounded" }
    )
    yield* Effect.forEach(carried, (target) => preserveState(target, log), { concurrency: 2, discard: true })
    yield* log.emit({ type: "step", step: "jump", status: "started", detail: yield* HostFacts.processCost(cost) })
    yield* log.flush
    return yield* Kexec.jump.pipe(
      Effect.tapError((error) =>
        log.emit({ type: "step", step: "jump", status: "failed", detail: { reason: reasonOf(error) } })
      )
    )
  })

/**
 * Runs the first half. It ends only by failing: `RolledBack` when a step after the preflight failed and everything was
 * undone, another error when nothing had been touched yet.
 *
 * @since 0.1.0
 * @category operations
 */
export const upgrade = (
  options: UpgradeOptions,
  log: RunLog
): Effect.Effect<never, PreflightError | RolledBack, VmStore | Vmm | LiveUpdate.LiveUpdate | Kexec.Kexec> =>
  Effect.scoped(
    Effect.gen(function* () {
      // Not logged before it is passed: a live update that is refused leaves nothing behind.
      const { targets, stopped, image, from, unknown } = yield* preflight(options)
      yield* log.emit({
        type: "step",
        step: "preflight",
        status: "done",
        detail: {
          from,
          to: image.release,
          image: image.path,
          vms: targets.map((_) => _.record.id),
          ...(stopped.length > 0 ? { stopped } : {}),
          ...(options.abandon === undefined || options.abandon.length === 0 ? {} : { abandoned: options.abandon }),
          ...(unknown.length > 0 ? { unknown } : {})
        }
      })
      const notResumed: Array<NotResumed> = []
      return yield* Effect.scoped(carry(options, targets, log, notResumed)).pipe(
        // Whoever follows the run, and `agent status`, wait for an outcome.
        Effect.onInterrupt(() =>
          Effect.flatMap(log.current, (step) =>
            log.emit({
              type: "outcome",
              result: "rolled-back",
              message: new RolledBack({ step, cause: "the agent was told to end.", notResumed }).message
            })
          )
        ),
        Effect.catchAll((cause) =>
          Effect.flatMap(log.current, (step) => Effect.fail(new RolledBack({ step, cause, notResumed })))
        ),
        Effect.tapErrorTag("RolledBack", (error) =>
          log.emit({ type: "outcome", result: "rolled-back", message: error.message })
        )
      )
    })
  )
