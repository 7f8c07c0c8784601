/**
 * The half of a live update that runs on the new kernel. There is no way back here, only forward: what can't be brought
 * back now is kept with its memory, to be tried again.
 *
 * While this runs the guests stand still, so this module loads and does only what they need to run again. It keeps no journal: whether a
 * phase is done is asked of whoever knows, the kernel (is the session there), the VMM (does the guest run), at every try anew.
 *
 * @since 0.1.0
 */

import * as Custody from "@liveupdate/sdk/Custody"
import * as KernelRelease from "@liveupdate/sdk/KernelRelease"
import type * as Kexec from "@liveupdate/sdk/Kexec"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Preservation from "@liveupdate/sdk/Preservation"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { Vmm } from "../vmm/Vmm.ts"
import { VmNotFound, type VmStore } from "../vmm/VmStore.ts"
import * as CarriedAgent from "./CarriedAgent.ts"
import * as Driver from "./Driver.ts"
import * as Handover from "./Handover.ts"
import * as Hooks from "./Hooks.ts"
import * as HostClock from "./HostClock.ts"
import * as HostFacts from "./HostFacts.ts"
import * as Journal from "./Journal.ts"
import * as LostHandover from "./LostHandover.ts"
import * as Machine from "./Machine.ts"
import * as Phase from "./Phase.ts"
import * as After from "./phases/After.ts"
import * as Finish from "./phases/Finish.ts"
import * as Restore from "./phases/Restore.ts"
import * as ResumeGuest from "./phases/Resume.ts"
import * as Retrieve from "./phases/Retrieve.ts"
import * as Verify from "./phases/Verify.ts"
import * as Recover from "./Recover.ts"
import { about, type Returning, type ReturningVm } from "./Returning.ts"
import * as RunLog from "./RunLog.ts"
import * as Turn from "./Turn.ts"
import { NeedsOperator } from "./UpgradeError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Resumed =
  | Recover.Recovered
  /** The VMs of a run came through its jump. */
  | { readonly _tag: "upgraded"; readonly run: string; readonly vms: ReadonlyArray<string> }

/**
 * @since 0.1.0
 * @category models
 */
export interface ResumeOptions extends Recover.Options {
  /** The operator has seen that the guests are alive: nothing is asked before their sessions are finished. */
  readonly unverified?: boolean
  /** One resume at a time: the one that the boot started first, and systemd's. Waits for the other. */
  readonly lock?: Effect.Effect<void, LiveUpdateError, Scope.Scope>
  /** Called as soon as every VM runs, before the accounts are closed. */
  readonly onRunning?: Effect.Effect<void>
  /** Ends when it has to stop at once; VMs that are under way are parked then. */
  readonly force?: Effect.Effect<void>
}

type Services = LiveUpdate.LiveUpdate | Custody.Custody | Kexec.Kexec | Vmm | VmStore

const readIndex = Effect.gen(function* () {
  const session = yield* LiveUpdate.retrieve(Handover.indexSession).pipe(Turn.ofDevice)
  const { manifest } = yield* Preservation.restore(session, Handover.Index, {})
  return { session, index: manifest.data, from: manifest.kernel ?? "an unknown kernel" }
})

type Missing = NeedsOperator["vms"][number]

/** One that was not asked for now: whoever holds its session says whether it waits still. */
const leave = ({ id, session }: Handover.Index["vms"][number]) => {
  const missing = (reason: string): ReadonlyArray<Missing> => [{ vm: id, step: "retrieve", reason }]
  return Effect.gen(function* () {
    const held = yield* Custody.list
    const waits = held.some((one) => one.session === session) || !(yield* Retrieve.observe(id))
    return waits ? missing("it is parked, and was not asked for.") : []
  }).pipe(Effect.catchAll((error) => Effect.succeed(missing(error.message))))
}

/** What the report needs and the guests don't wait for. */
const closeAccounts = (from: string, { traceparent }: Handover.Index, log: RunLog.RunLog) =>
  Effect.gen(function* () {
    const [calibration, release, kernelStart, started] = yield* Effect.all([
      HostClock.calibrate,
      KernelRelease.running,
      HostFacts.kernelStart,
      HostClock.processStart
    ])
    yield* log.emit({ type: "clock", ...calibration })
    yield* log.emit({
      type: "step",
      step: "boot",
      status: "done",
      detail: {
        from,
        to: release,
        ...kernelStart,
        agentStarted: started,
        ...(traceparent === undefined ? {} : { traceparent })
      }
    })
  })

const sameVms = (a: ReadonlyArray<string>, b: ReadonlyArray<string>) => [...a].sort().join() === [...b].sort().join()

/**
 * The journal on the disk is the second copy of what the handover says, and is closed here. Whatever it says, the handover is the truth:
 * it has travelled with the memory.
 */
const closeJournal = (index: Handover.Index, file: string | undefined) =>
  Effect.gen(function* () {
    const reading = yield* Journal.read(file)
    const says = (journal: string, leftBehind: ReadonlyArray<string> = []) => ({ journal, leftBehind })
    switch (reading._tag) {
      case "none":
        return says("missing")
      case "corrupt":
        return says(`damaged (${reading.reason}), kept at ${yield* Journal.setAside(file)}`)
      case "ended":
        return says(reading.begin.run === index.run ? "agrees" : `of another run: ${reading.begin.run}`)
      case "unfinished": {
        const { run, vms } = reading.begin
        const ids = index.vms.map((_) => _.id)
        const left = vms.filter((id) => !ids.includes(id))
        if (run !== index.run || !sameVms([...ids, ...left], vms))
          return says(`of another run: ${run} (${vms.join(", ")}), kept at ${yield* Journal.setAside(file)}`)
        yield* Journal.close("jumped", file)
        return says("agrees", left)
      }
    }
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
      const hooks = index.hooks ?? {}
      const returning: Returning = {
        log,
        hooks,
        postBoot: yield* Effect.cached(
          Hooks.run(hooks, "post-boot", { run: index.run }).pipe(log.hook("post-boot", hooks))
        ),
        unverified: options.unverified === true
      }
      const asked = index.vms.filter(({ id }) => chosen === undefined || chosen.includes(id))
      const scope = yield* Effect.scope
      const vms = new Map(
        yield* Effect.forEach(asked, ({ id, session }) =>
          Effect.map(
            Scope.fork(scope, ExecutionStrategy.sequential),
            (scope) => [id, { vm: { id, session } as ReturningVm, scope }] as const
          )
        )
      )
      const effectOf = (phase: Phase.Phase, vm: ReturningVm) => {
        if (vm.settled === true) return Effect.void
        switch (phase.name as Exclude<After.Name, "report">) {
          case "retrieve":
            return Retrieve.run(returning, vm)
          case "restore":
            return Restore.run(returning, vm)
          case "resume":
            return ResumeGuest.run(returning, vm)
          case "verify":
            return Verify.run(returning, vm)
          case "finish":
            return Finish.run(returning, vm)
        }
      }

      const report = Effect.gen(function* () {
        yield* options.onRunning ?? Effect.void
        yield* closeAccounts(from, index, log)
        yield* CarriedAgent.discard
      })

      const run = (phase: Phase.Phase, id: string | undefined): Effect.Effect<unknown, unknown, Services> => {
        const one = id === undefined ? undefined : vms.get(id)
        if (one === undefined)
          return Effect.zipRight(Hooks.checkpoint(hooks, "before", phase.name, { run: index.run }), report)
        const { vm, scope } = one
        return Effect.gen(function* () {
          yield* Hooks.checkpoint(hooks, "before", phase.name, about(returning, vm))
          yield* effectOf(phase, vm)
          yield* Hooks.checkpoint(hooks, "after", phase.name, about(returning, vm))
        }).pipe(
          Scope.extend(scope),
          Effect.tap(() => (phase.name === "finish" ? Scope.close(scope, Exit.void) : Effect.void)),
          // Parked: somebody else holds its session, and nothing of ours stands in the way of the next try.
          Effect.onError(() => Scope.close(scope, Exit.void))
        )
      }

      const conclude = ({ state, failures }: Driver.Ended) =>
        Effect.gen(function* () {
          const parked = Object.entries(state.vms).flatMap(([id, vm]): ReadonlyArray<Missing> => {
            if (vm.tag !== "parked") return []
            const reason = Driver.reasonFor(failures, id) ?? "the agent was told to end."
            return [{ vm: id, step: After.phases[vm.index]?.name ?? "report", reason }]
          })
          // Asked here, and not in the report, which may fail: the index is finished when nobody waits any more.
          const others = index.vms.filter((vm) => !asked.includes(vm))
          const failed = [...parked, ...(yield* Effect.forEach(others, leave)).flat()]
          const { journal, leftBehind } = yield* closeJournal(index, options.journal)
          const behind = leftBehind.length === 0 ? {} : { leftBehind }
          const detail = { ...(yield* HostFacts.processCost()), journal, ...behind }
          if (failed.length > 0) {
            const error = new NeedsOperator({ vms: failed })
            yield* log.emit({ type: "outcome", result: "needs-operator", message: error.message, detail })
            yield* log.flush
            return yield* error
          }
          yield* session.finish
          yield* log.emit({
            type: "outcome",
            result: "upgraded",
            message: `The host went from ${from} to ${yield* KernelRelease.running}; ${index.vms.length} VM(s) run on${
              leftBehind.length === 0 ? "" : `; left behind: ${leftBehind.join(", ")}`
            }`,
            detail
          })
          yield* log.flush
          return { _tag: "upgraded", run: index.run, vms: index.vms.map((_) => _.id) } satisfies Resumed as Resumed
        })

      return yield* Driver.drive({
        phases: Phase.withDeadlines(After.phases, index.deadlines),
        first: Machine.begin(After.phases, { vms: asked.map((_) => _.id) }),
        work: { run, undo: () => Effect.void },
        ...(options.force === undefined ? {} : { force: Effect.as(options.force, "told" as const) }),
        conclude
      })
    })
  )

const waitForLock = Turn.ofLock(Schedule.intersect(Schedule.spaced("50 millis"), Schedule.recurs(6000)))

/**
 * Brings back what the previous kernel handed over; without a handover, gives back VMs that an interrupted run left paused.
 * Harmless when there is neither. Fails with `GuestsLost` when this kernel can't read the handover.
 *
 * @since 0.1.0
 * @category operations
 */
export const resume = (options: ResumeOptions = {}) => {
  const nothingHandedOver = (): Effect.Effect<
    Resumed,
    Effect.Effect.Error<ReturnType<typeof Recover.recover>>,
    Services
  > => Recover.recover(options)
  return Effect.scoped(
    Effect.zipRight(
      options.lock ?? waitForLock,
      forward(options).pipe(
        Effect.catchTags({
          SessionNotFound: nothingHandedOver,
          DeviceMissing: nothingHandedOver,
          HandoverUnreadable: (error) => LostHandover.settle(error, options)
        })
      )
    )
  )
}
