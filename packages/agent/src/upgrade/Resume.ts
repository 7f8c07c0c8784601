/**
 * The half of a live update that runs on the new kernel. There is no way back here, only forward: what can't be brought
 * back now is kept with its memory, to be tried again.
 *
 * While this runs the guests stand still, so this module loads and does only what they need to run again.
 *
 * @since 0.1.0
 */

import * as Custody from "@liveupdate/sdk/Custody"
import * as HostLock from "@liveupdate/sdk/HostLock"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Preservation from "@liveupdate/sdk/Preservation"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as StartedVmm from "../vmm/StartedVmm.ts"
import { makeRecord, type VmConfig, type VmPaths } from "../vmm/Vm.ts"
import { Vmm } from "../vmm/Vmm.ts"
import { VmNotFound, VmStore } from "../vmm/VmStore.ts"
import * as CarriedAgent from "./CarriedAgent.ts"
import * as Discarded from "./Discarded.ts"
import * as Handover from "./Handover.ts"
import * as HostClock from "./HostClock.ts"
import * as HostFacts from "./HostFacts.ts"
import * as Recovery from "./Recovery.ts"
import * as RunLog from "./RunLog.ts"
import { NeedsOperator } from "./UpgradeError.ts"
import { verify } from "./Verify.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Resumed =
  /** No live update is waiting for anything. */
  | { readonly _tag: "nothing" }
  /** A run that died before its jump was undone: these VMs run again. */
  | { readonly _tag: "recovered"; readonly run: string; readonly vms: ReadonlyArray<string> }
  /** The VMs of a run came through its jump. */
  | { readonly _tag: "upgraded"; readonly run: string; readonly vms: ReadonlyArray<string> }

/**
 * @since 0.1.0
 * @category models
 */
export interface ResumeOptions {
  readonly directory?: string
  readonly listener?: RunLog.Listener
  /** The ids of the VMs to bring back; all of them unless told. */
  readonly vms?: ReadonlyArray<string>
  /** The operator has seen that the guests are alive: nothing is asked before their sessions are finished. */
  readonly unverified?: boolean
  /** One resume at a time: the one that the boot started first, and systemd's. Waits for the other. */
  readonly lock?: Effect.Effect<void, LiveUpdateError, Scope.Scope>
  /** Called as soon as every VM runs, before the accounts are closed. */
  readonly onRunning?: Effect.Effect<void>
}

/** systemd opens the device for a moment at boot; whoever else has it won't keep it long either. */
const whileDeviceIsBusy = <A, R>(effect: Effect.Effect<A, LiveUpdateError, R>): Effect.Effect<A, LiveUpdateError, R> =>
  Effect.retry(effect, {
    while: (error) => error._tag === "DeviceBusy",
    schedule: Schedule.intersect(Schedule.spaced("5 millis"), Schedule.recurs(1000))
  })

const readIndex = Effect.gen(function* () {
  const session = yield* LiveUpdate.retrieve(Handover.indexSession).pipe(whileDeviceIsBusy)
  const { manifest } = yield* Preservation.restore(session, Handover.Index, {})
  return { session, index: manifest.data, from: manifest.kernel ?? "an unknown kernel" }
})

type Carried = Handover.Index["vms"][number]

/** A VMM for the guest that waits for its state; `started` is one that is there. */
const vmmFor = (config: VmConfig, paths: VmPaths, ramFd: number, started: StartedVmm.StartedVmm | undefined) =>
  Effect.gen(function* () {
    const vmm = yield* Vmm
    const from = yield* HostClock.monotonic
    const since = Effect.map(HostClock.monotonic, (now) => Math.round(now - from))
    const launch = Effect.gen(function* () {
      const launched = yield* vmm.launch(config, paths, { ramFd, incoming: true })
      yield* StartedVmm.note(paths, { pid: launched.process.pid, at: from })
      return { ...launched, state: "incoming" as const, waitedMs: yield* since }
    })
    if (started === undefined) return yield* launch
    return yield* Effect.gen(function* () {
      const adopted = yield* vmm.adopt(config, paths, started.pid)
      const { state } = yield* adopted.connection.status
      // Running: an agent has brought it so far, and was killed. Whatever else it is, its guest has not run since the state was saved.
      if (state === "incoming" || state === "running") return { ...adopted, state, waitedMs: yield* since }
      yield* adopted.connection.quit
      return yield* launch
    }).pipe(
      // One that has ended, of which this one will say why if it ends as well.
      Effect.catchTag("VmmExited", () => launch)
    )
  })

const restore = (vm: Carried, log: RunLog.RunLog, options: ResumeOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const vmm = yield* Vmm
      const store = yield* VmStore
      const {
        session,
        vm: carried,
        ram,
        state
      } = yield* Effect.gen(function* () {
        const session = yield* LiveUpdate.retrieve(vm.session).pipe(whileDeviceIsBusy)
        const { manifest, files } = yield* Preservation.restore(session, Handover.Vm, {
          ram: Memfd.Memfd,
          state: Memfd.Memfd
        })
        return { session, vm: manifest.data, ...files }
      }).pipe(log.step("retrieve", { vm: vm.id }))

      const paths = yield* store.prepare(vm.id)
      const started = yield* StartedVmm.find(paths, vmm.incomingCommand(carried.config, paths))
      const {
        process,
        connection,
        state: condition
      } = yield* vmmFor(carried.config, paths, ram.fd, started).pipe(
        log.step("start-vmm", {
          vm: vm.id,
          since: started?.at,
          describe: ({ waitedMs }) => ({ early: started !== undefined, waitedMs })
        })
      )
      if (condition !== "running")
        yield* Effect.gen(function* () {
          yield* connection.loadState(state.fd).pipe(log.step("load-state", { vm: vm.id }))
          yield* connection.resume.pipe(log.step("resume", { vm: vm.id }))
        }).pipe(
          // A VMM that didn't take the state is of no use, and it must not hold the disks when the next try comes.
          Effect.tapError(() => Effect.ignore(connection.quit))
        )
      yield* store.put(makeRecord(paths, process, carried.createdAt))
      if (options.unverified !== true) yield* verify(carried.config, connection).pipe(log.step("verify", { vm: vm.id }))
      yield* session.finish.pipe(log.step("finish", { vm: vm.id }))
    })
  )

/** On a second try some VMs may have come back before, or been given up. */
const isSettled = (id: string) =>
  Effect.gen(function* () {
    const store = yield* VmStore
    const vmm = yield* Vmm
    if (yield* Discarded.isNoted(yield* store.prepare(id))) return true
    return yield* vmm.isRunning(yield* store.get(id))
  }).pipe(Effect.orElseSucceed(() => false))

/** Why a VM isn't back, or nothing. */
type Missing = Option.Option<NeedsOperator["vms"][number]>

const restoreOrExplain = (vm: Carried, log: RunLog.RunLog, options: ResumeOptions) =>
  restore(vm, log, options).pipe(
    Effect.matchEffect({
      onSuccess: () => Effect.succeed<Missing>(Option.none()),
      onFailure: (error) =>
        Effect.gen(function* () {
          if (error._tag === "SessionNotFound" && (yield* isSettled(vm.id))) return Option.none()
          return Option.some({ vm: vm.id, step: yield* log.current, reason: RunLog.reasonOf(error) }) satisfies Missing
        })
    })
  )

/** One that was not asked for now: whoever holds its session says whether it waits still. */
const leave = (vm: Carried) => {
  const missing = (reason: string): Missing => Option.some({ vm: vm.id, step: "retrieve", reason })
  return Effect.gen(function* () {
    const held = yield* Custody.list
    const waits = held.some(({ session }) => session === vm.session) || !(yield* isSettled(vm.id))
    return waits ? missing("it is parked, and was not asked for.") : Option.none()
  }).pipe(Effect.catchAll((error) => Effect.succeed(missing(error.message))))
}

/** What the report needs and the guests don't wait for. */
const closeAccounts = (from: string, log: RunLog.RunLog) =>
  Effect.gen(function* () {
    const [calibration, release, firstProcess, started] = yield* Effect.all([
      HostClock.calibrate,
      HostFacts.kernelRelease,
      HostFacts.firstProcessAt,
      HostClock.processStart
    ])
    yield* log.emit({ type: "clock", ...calibration })
    yield* log.emit({
      type: "step",
      step: "boot",
      status: "done",
      detail: { from, to: release, firstProcess, agentStarted: started }
    })
  })

const forward = (options: ResumeOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { session, index, from } = yield* readIndex
      const log = yield* RunLog.open({ ...options, run: index.run })
      const { vms: chosen } = options
      const unknown = chosen?.find((id) => !index.vms.some((vm) => vm.id === id))
      if (unknown !== undefined)
        return yield* new VmNotFound({ id: unknown, known: index.vms.map((_) => _.id), where: "this handover" })
      const results = yield* Effect.forEach(
        index.vms,
        (vm): Effect.Effect<Missing, never, LiveUpdate.LiveUpdate | Custody.Custody | Vmm | VmStore> =>
          chosen === undefined || chosen.includes(vm.id) ? restoreOrExplain(vm, log, options) : leave(vm),
        { concurrency: "unbounded" }
      )
      yield* options.onRunning ?? Effect.void
      const failed = results.filter(Option.isSome).map((_) => _.value)
      const release = yield* HostFacts.kernelRelease
      yield* closeAccounts(from, log)
      yield* CarriedAgent.discard
      if (failed.length > 0) {
        const error = new NeedsOperator({ vms: failed })
        yield* log.emit({ type: "outcome", result: "needs-operator", message: error.message })
        yield* log.flush
        return yield* error
      }
      yield* session.finish
      yield* log.emit({
        type: "outcome",
        result: "upgraded",
        message: `The host went from ${from} to ${release}; ${index.vms.length} VM(s) run on`,
        detail: yield* HostFacts.processCost()
      })
      yield* log.flush
      const resumed: Resumed = { _tag: "upgraded", run: index.run, vms: index.vms.map((_) => _.id) }
      return resumed
    })
  )

/** Gives back VMs that a dead agent left paused. Its sessions are gone with it: the kernel rolled them back. */
const recover = (options: ResumeOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const pending = yield* Recovery.leftBehind()
      if (pending === undefined) return { _tag: "nothing" } satisfies Resumed as Resumed
      const store = yield* VmStore
      const vmm = yield* Vmm
      const log = yield* RunLog.open({ ...options, run: pending.run })
      yield* Effect.forEach(
        pending.vms,
        (id) =>
          Effect.scoped(
            Effect.flatMap(Effect.flatMap(store.get(id), vmm.connect), (connection) => connection.resume)
          ).pipe(log.step("recover", { vm: id })),
        { concurrency: "unbounded", discard: true }
      )
      yield* Recovery.clear()
      yield* log.emit({
        type: "outcome",
        result: "rolled-back",
        message: "The agent ended before the jump; the VMs run as before"
      })
      yield* log.flush
      return { _tag: "recovered", run: pending.run, vms: pending.vms } satisfies Resumed as Resumed
    })
  )

const waitForLock = HostLock.acquire().pipe(
  Effect.retry({
    while: (error) => error._tag === "HostLocked",
    schedule: Schedule.intersect(Schedule.spaced("50 millis"), Schedule.recurs(6000))
  })
)

/**
 * Brings back what the previous kernel handed over; without a handover, gives back VMs that an interrupted run left paused.
 * Harmless when there is neither.
 *
 * @since 0.1.0
 * @category operations
 */
export const resume = (options: ResumeOptions = {}) => {
  const nothingHandedOver = () => recover(options)
  return Effect.scoped(
    Effect.zipRight(
      options.lock ?? waitForLock,
      forward(options).pipe(Effect.catchTags({ SessionNotFound: nothingHandedOver, DeviceMissing: nothingHandedOver }))
    )
  )
}
