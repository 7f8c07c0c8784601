/**
 * What has to be right before a live update touches anything.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Custody from "@liveupdate/sdk/Custody"
import * as KernelImage from "@liveupdate/sdk/KernelImage"
import * as KernelRelease from "@liveupdate/sdk/KernelRelease"
import type * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import type * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
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
import * as Hooks from "./Hooks.ts"
import type * as Phase from "./Phase.ts"
import * as Recover from "./Recover.ts"
import type * as SystemdJump from "./SystemdJump.ts"
import type * as Traceparent from "./Traceparent.ts"
import * as Turn from "./Turn.ts"
import { type JournalCorrupt, type NotGivenBack, PreconditionFailed } from "./UpgradeError.ts"
import type * as Watchdog from "./Watchdog.ts"

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
  /** What each of them may take to shut down, before its VMM is ended. */
  readonly stopPatience?: Duration.Duration
  readonly kernel: string
  readonly initrd?: string
  readonly commandLine: string
  /** Makes ready, while the guests run, what lets the second half start faster; see `QuickStart`. */
  readonly prepare?: (
    vms: ReadonlyArray<VmRecord>
  ) => Effect.Effect<void, never, LiveUpdate.LiveUpdate | Vmm | VmStore | Scope.Scope>
  /** Another way to the next kernel than the reboot call. */
  readonly jump?: SystemdJump.SystemdJump
  /**
   * What becomes of the live update when a VM's phase fails before the jump: all of it is undone (`abort`, unless told), or that VM is, and
   * dies with the old kernel as if it had been abandoned.
   */
  readonly onFailure?: "abort" | "leave-behind"
  /** Everything up to the jump is done, and undone. */
  readonly dryRun?: boolean
  /** From the first pause to the jump; past it everything is undone. */
  readonly blackoutDeadline?: Duration.Duration
  /**
   * Gives guests back if this process dies while they stand still; without it nobody does until somebody comes. How it is started: the
   * next one is for when it couldn't be with the first (`QuickStart.watchdog`).
   */
  readonly watchdog?: Arr.NonEmptyReadonlyArray<Watchdog.Command>
  /** Ends when running phases shall be interrupted, and everything undone. */
  readonly force?: Effect.Effect<void>
  /** Of phases by name, in seconds, where they are not the phases' own. */
  readonly deadlines?: Phase.Deadlines
  /** Where the operator's programs are, if not in their place. */
  readonly hooksDirectory?: string
  /** Where the journal is, if not in its place. */
  readonly journal?: string
  /** Keeps other agents away for as long as the run takes: the host's lock, unless told. For a host that is only a model. */
  readonly lock?: Effect.Effect<void, LiveUpdateError, Scope.Scope>
  /** The trace that the run is a part of; its events and the handover tell of it. */
  readonly trace?: Traceparent.RunTrace
  /** For tests: programs at moments that are no hooks. */
  readonly checkpoints?: Hooks.Hooks
}

/**
 * A VM to carry: its record, and a line to its VMM.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly record: VmRecord
  readonly connection: VmConnection
}

/**
 * @since 0.1.0
 * @category errors
 */
export type PreflightError =
  | PreconditionFailed
  | Hooks.HooksUnsafe
  | Custody.HolderSilent
  | JournalCorrupt
  | NotGivenBack
  | LiveUpdateError
  | KernelImage.KernelImageInvalid
  | VmNotFound
  | VmRecordCorrupt
  | VmStoreFailed
  | VmmError

/**
 * What a guest that is stopped for it may take to shut down, unless told otherwise.
 *
 * @since 0.1.0
 * @category constants
 */
export const STOP_PATIENCE: Duration.Duration = Duration.seconds(60)

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

const checkReadable = (path: string): Effect.Effect<void, PreconditionFailed> =>
  Effect.try({
    try: () => {
      Fs.accessSync(path, Fs.constants.R_OK)
      if (!Fs.statSync(path).isFile()) throw new Error("not a regular file")
    },
    catch: () => fail(`The initrd ${path} can't be read`, "Check the path")
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

/**
 * What a live update begins with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Passed {
  readonly targets: ReadonlyArray<Target>
  /** Ids of VMs that were shut down for it. */
  readonly stopped: ReadonlyArray<string>
  readonly image: KernelImage.KernelImage
  /** Release of the running kernel. */
  readonly from: string
  /** What of the next kernel could not be found out. */
  readonly unknown: ReadonlyArray<string>
  /** The operator's programs. */
  readonly hooks: Hooks.Hooks
}

const requireRoot: Effect.Effect<void, PreconditionFailed> = Effect.suspend(() =>
  process.getuid?.() === 0 ? Effect.void : fail("A live update needs root", "Run the agent as root")
)

/** Of a handover that isn't finished, a parked VM, or somebody else: what is in a session that is held would be lost with the jump. */
const checkFinished = Effect.gen(function* () {
  const held = yield* Custody.list
  if (held.length > 0)
    return yield* fail(
      `The memory in these sessions would be lost, they wait to be finished since an earlier live update: ${held.map((_) => _.session).join(", ")}`,
      "See: agent park --list. Bring the VMs back, agent resume, or give one up: agent discard --vm ID"
    )
})

const checkHooks = (options: UpgradeOptions) =>
  Effect.flatMap(Hooks.find(options.hooksDirectory), (found) => {
    const [refusal] = Hooks.refusals(found)
    return refusal === undefined ? Effect.succeed(found.hooks) : Effect.fail(refusal)
  })

/** What can be asked of the host without being alone on it. */
const hostChecks = (options: UpgradeOptions) =>
  ({
    root: requireRoot,
    device: Turn.ofDevice(LiveUpdate.probe),
    initrd: options.initrd === undefined ? Effect.void : checkReadable(options.initrd),
    commandLine: checkCommandLine(options.commandLine),
    finished: checkFinished
  }) as const

/**
 * Checks everything that can be known before anything is touched, and takes the host's lock for as long as the scope lives. The
 * one thing that it does is asked for: `stopOthers`, last of all.
 *
 * @since 0.1.0
 * @category operations
 */
export const check = (
  options: UpgradeOptions
): Effect.Effect<
  Passed,
  PreflightError,
  Scope.Scope | VmStore | Vmm | LiveUpdate.LiveUpdate | Custody.Custody | Kexec.Kexec
> =>
  Effect.gen(function* () {
    const { root, device, initrd, commandLine, finished } = hostChecks(options)
    yield* root
    yield* device
    const image = yield* KernelImage.inspect(options.kernel)
    yield* initrd
    yield* commandLine
    const unknown = yield* checkTarget(options)
    const hooks = yield* checkHooks(options)
    yield* options.lock ?? Turn.ofHost
    // Now that no other agent can be at work, one that died is cleaned up after.
    yield* Recover.recover(options.journal === undefined ? {} : { journal: options.journal })
    yield* finished
    const { records, others } = yield* chooseVms(options)
    yield* options.jump?.check(records.length) ?? Effect.void
    const targets = yield* findTargets(records)
    // The last of the preflight, as it isn't undone. A guest that can't be stopped would die, so it is refused.
    yield* Effect.forEach(others, (id) => Lifecycle.stop(id, options.stopPatience ?? STOP_PATIENCE), {
      concurrency: "unbounded",
      discard: true
    })
    return { targets, stopped: others, image, from: yield* KernelRelease.running, unknown, hooks }
  })

/**
 * What the preflight would find, all of it, and nothing is done.
 *
 * @since 0.1.0
 * @category models
 */
export interface Examined {
  /** Release of the running kernel. */
  readonly from: string
  /** Release of the next one, where its image can be read. */
  readonly to: string | undefined
  readonly vms: ReadonlyArray<VmRecord>
  /** Ids of VMs that would be shut down. */
  readonly stopped: ReadonlyArray<string>
  /** What of the next kernel can't be found out. */
  readonly unknown: ReadonlyArray<string>
  readonly hooks: Hooks.Hooks
  readonly refusals: ReadonlyArray<PreflightError>
}

/**
 * Asks everything that `check` asks and disturbs nobody: the device and the host's lock are looked at, and not kept.
 *
 * @since 0.1.0
 * @category operations
 */
export const examine = (options: UpgradeOptions) =>
  Effect.gen(function* () {
    const refusals: Array<PreflightError> = []
    const ask = <A, R>(effect: Effect.Effect<A, PreflightError, R>): Effect.Effect<A | undefined, never, R> =>
      Effect.catchAll(effect, (error) => {
        refusals.push(error)
        return Effect.succeed(undefined)
      })
    const { root, device, initrd, commandLine, finished } = hostChecks(options)
    yield* ask(root)
    yield* ask(device)
    const image = yield* ask(KernelImage.inspect(options.kernel))
    yield* ask(initrd)
    yield* ask(commandLine)
    const unknown = image === undefined ? undefined : yield* ask(checkTarget(options))
    const found = yield* Hooks.find(options.hooksDirectory)
    refusals.push(...Hooks.refusals(found))
    yield* ask(Effect.scoped(options.lock ?? Turn.ofHost))
    yield* ask(finished)
    const chosen = yield* ask(chooseVms(options))
    yield* ask(options.jump?.check(chosen?.records.length ?? 0) ?? Effect.void)
    // One by one: each of them may have a reason of its own.
    for (const record of chosen?.records ?? []) yield* ask(Effect.scoped(findTargets([record])))
    return {
      from: yield* KernelRelease.running,
      to: image?.release,
      vms: chosen?.records ?? [],
      stopped: chosen?.others ?? [],
      unknown: unknown ?? [],
      hooks: found.hooks,
      refusals
    } satisfies Examined
  })
