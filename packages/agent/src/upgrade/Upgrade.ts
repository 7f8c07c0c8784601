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
import * as Kexec from "@liveupdate/sdk/Kexec"
import type * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Preservation from "@liveupdate/sdk/Preservation"
import * as Effect from "effect/Effect"
import type { Vmm } from "../vmm/Vmm.ts"
import type { VmStore } from "../vmm/VmStore.ts"
import * as Handover from "./Handover.ts"
import * as HostClock from "./HostClock.ts"
import * as HostFacts from "./HostFacts.ts"
import * as Preflight from "./Preflight.ts"
import * as Recovery from "./Recovery.ts"
import { type RunLog, reasonOf } from "./RunLog.ts"
import { RolledBack } from "./UpgradeError.ts"

/** Writes dirty pages back: what is only in the page cache dies with the kernel. */
const sync: Effect.Effect<void> = Effect.async((resume) => {
  execFile("sync", () => resume(Effect.void))
})

/** A session with the guest's RAM in it, made while the guest runs. */
interface Carried extends Preflight.Target {
  readonly preservation: Preservation.Preservation
  readonly state: Memfd.Memfd
}

const preserveRunning = (target: Preflight.Target, log: RunLog) =>
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
const preserveIndex = (targets: ReadonlyArray<Preflight.Target>, log: RunLog) =>
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
const pause = ({ record, connection }: Preflight.Target, log: RunLog, notResumed: Array<NotResumed>) =>
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
const carry = (
  options: Preflight.UpgradeOptions,
  targets: ReadonlyArray<Preflight.Target>,
  log: RunLog,
  notResumed: Array<NotResumed>
) =>
  Effect.gen(function* () {
    // A VM that can't be given back running is `agent resume`'s to give back.
    yield* Recovery.note(
      { version: 1, run: log.run, vms: targets.map((_) => _.record.id) },
      () => notResumed.length > 0
    )
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
  options: Preflight.UpgradeOptions,
  log: RunLog
): Effect.Effect<never, Preflight.PreflightError | RolledBack, VmStore | Vmm | LiveUpdate.LiveUpdate | Kexec.Kexec> =>
  Effect.scoped(
    Effect.gen(function* () {
      // Not logged before it is passed: a live update that is refused leaves nothing behind.
      const { targets, stopped, image, from, unknown } = yield* Preflight.check(options)
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
