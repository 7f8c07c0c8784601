/**
 * The half of a live update that runs on the old kernel: everything up to the jump, and the way back from every step of it.
 *
 * `Machine` says what comes next, the files in `phases/` know how to do it, the journal has it on the disk before it is done. What a phase
 * makes lives in a scope of its own, which an undo closes. The jump is called inside all those scopes; if it succeeds, none of them
 * ever ends.
 *
 * @since 0.1.0
 */
import type * as Custody from "@liveupdate/sdk/Custody"
import type * as Kexec from "@liveupdate/sdk/Kexec"
import type * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import type * as Preservation from "@liveupdate/sdk/Preservation"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Vmm } from "../vmm/Vmm.ts"
import type { VmStore } from "../vmm/VmStore.ts"
import { about, type CarriedVm, type Carrying } from "./Carrying.ts"
import * as Driver from "./Driver.ts"
import * as Files from "./Files.ts"
import * as Hooks from "./Hooks.ts"
import * as HostClock from "./HostClock.ts"
import * as HostFacts from "./HostFacts.ts"
import * as Journal from "./Journal.ts"
import * as Machine from "./Machine.ts"
import * as Phase from "./Phase.ts"
import * as Preflight from "./Preflight.ts"
import * as Before from "./phases/Before.ts"
import * as Jump from "./phases/Jump.ts"
import * as LoadKernel from "./phases/LoadKernel.ts"
import * as Pause from "./phases/Pause.ts"
import * as PreserveRunning from "./phases/PreserveRunning.ts"
import * as PreserveState from "./phases/PreserveState.ts"
import * as SaveState from "./phases/SaveState.ts"
import { failureOf, type RunLog, reasonOf } from "./RunLog.ts"
import { PreconditionFailed, RolledBack } from "./UpgradeError.ts"
import * as Watchdog from "./Watchdog.ts"

/** What all phases need. */
type Services = VmStore | Vmm | LiveUpdate.LiveUpdate | Custody.Custody | Kexec.Kexec

/** What is there from the preflight on. */
interface Begun extends Carrying {
  readonly journal: Journal.Journal
}

/** The scopes of what is done, closed by its undo; whatever is left at the end goes in reverse order. */
const makeScopes = Effect.gen(function* () {
  const scopes = new Map<string, Scope.CloseableScope>()
  const nameOf = (phase: string, vm: string | undefined) => `${phase} ${vm ?? ""}`
  const close = (phase: string, vm?: string) =>
    Effect.suspend(() => {
      const scope = scopes.get(nameOf(phase, vm))
      scopes.delete(nameOf(phase, vm))
      return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })
  yield* Effect.addFinalizer(() =>
    Effect.forEach([...scopes.values()].reverse(), (scope) => Scope.close(scope, Exit.void), { discard: true })
  )
  const into =
    (phase: string, vm?: string) =>
    <A, E, R>(effect: Effect.Effect<A, E, R | Scope.Scope>): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        scopes.set(nameOf(phase, vm), scope)
        return yield* Scope.extend(effect, scope)
      })
  return { into, close }
})

/** What the run begins with, and leaves nothing behind if it is refused. */
const preflight = (options: Preflight.UpgradeOptions, log: RunLog) =>
  Effect.gen(function* () {
    const state = Files.stateOf(options.kernel)
    const { targets, stopped, image, from, unknown, hooks: found } = yield* Preflight.check(options)
    const hooks = { ...found, ...options.checkpoints }
    const vms = targets.map((_) => _.record.id)
    const journal = yield* Journal.begin(
      { run: log.run, boot: yield* HostFacts.bootId, vms, kernel: image.path, hooks },
      options.journal
    ).pipe(
      Effect.mapError((error) => new PreconditionFailed({ what: `Nothing was touched: ${error.message}`, next: "" }))
    )
    yield* log.emit({
      type: "step",
      step: "preflight",
      status: "done",
      detail: {
        from,
        to: image.release,
        image: image.path,
        vms,
        ...options.trace,
        ...(stopped.length > 0 ? { stopped } : {}),
        ...(options.abandon === undefined || options.abandon.length === 0 ? {} : { abandoned: options.abandon }),
        ...(unknown.length > 0 ? { unknown } : {})
      }
    })
    return {
      options,
      log,
      hooks,
      journal,
      image: { path: options.kernel, state },
      vms: new Map<string, CarriedVm>(targets.map((target) => [target.record.id, { ...target }]))
    } satisfies Begun
  })

/**
 * How a run ends that comes back, in a process that is still there.
 *
 * @since 0.1.0
 * @category models
 */
export interface DryRun {
  readonly _tag: "dry-run"
  readonly run: string
  readonly vms: ReadonlyArray<string>
}

/**
 * Runs the first half. It ends by failing: `RolledBack` when a phase after the preflight failed and everything was undone, another error
 * when nothing had been touched yet. Only a dry run comes back. When it is interrupted, it stops at the next safe point, undoes
 * everything, and ends as interrupted.
 *
 * @since 0.1.0
 * @category operations
 */
export const upgrade = (
  options: Preflight.UpgradeOptions,
  log: RunLog
): Effect.Effect<DryRun, Preflight.PreflightError | RolledBack, Services> =>
  Effect.scoped(
    Effect.gen(function* () {
      const scopes = yield* makeScopes
      const late = yield* Deferred.make<"too-late">()
      const services = yield* Effect.context<Services | Scope.Scope>()
      let begun: Begun | undefined
      let refusal: Preflight.PreflightError | undefined
      let cost: Effect.Effect<Readonly<Record<string, unknown>>> = HostFacts.processCost()
      let watchdog: Watchdog.Watchdog | undefined
      /** The VMs that the index lists, and the index. */
      let listed: { readonly ids: string; readonly index: Preservation.Preservation } | undefined

      const carrying = (): Begun => {
        if (begun === undefined) throw new Error("nothing is begun yet")
        return begun
      }
      const vmOf = (id: string | undefined): CarriedVm => {
        const vm = id === undefined ? undefined : carrying().vms.get(id)
        if (vm === undefined) throw new Error(`no VM ${id} is carried`)
        return vm
      }

      // Once, however many VMs wait for it: everything here could have been done later, and would have cost the guests time.
      const prelude = yield* Effect.cached(
        Effect.gen(function* () {
          const { log, vms } = carrying()
          if (options.watchdog !== undefined) watchdog = yield* Watchdog.start(options.watchdog, [...vms.keys()])
          yield* Files.syncAll.pipe(log.step("sync"))
          yield* log.emit({ type: "clock", ...(yield* HostClock.calibrate) })
          // Guests that have stood still for so long are better off running.
          if (options.blackoutDeadline !== undefined)
            yield* Effect.sleep(options.blackoutDeadline).pipe(
              Effect.zipRight(Deferred.succeed(late, "too-late")),
              Effect.forkScoped
            )
        }).pipe(Effect.provide(services))
      )
      // What was dirty when the first guest had been paused; beside the saving, which waits for other things.
      const flushed = yield* Effect.cached(Files.syncAll)

      const index = Effect.suspend(() => {
        const ids = [...carrying().vms.keys()].join()
        if (ids === listed?.ids) return Effect.succeed(listed.index)
        listed = undefined
        return scopes.close("index").pipe(
          Effect.zipRight(LoadKernel.preserveIndex(carrying()).pipe(scopes.into("index"))),
          Effect.tap((index) =>
            Effect.sync(() => {
              listed = { ids, index }
            })
          )
        )
      })

      const effectOf = (
        phase: Phase.Phase,
        vm: string | undefined
      ): Effect.Effect<unknown, unknown, Services | Scope.Scope> => {
        const name = phase.name as Before.Name
        switch (name) {
          case "preflight":
            // The lock and the VMs' lines are the whole run's.
            return preflight(options, log).pipe(
              Effect.tapError((error) =>
                Effect.sync(() => {
                  refusal = error
                })
              ),
              Effect.map((value) => {
                begun = value
                return [...value.vms.keys()]
              })
            )
          case "load-kernel":
            return LoadKernel.run(carrying()).pipe(
              // Counted from where guest RAM comes in: before, a copy of Node was made.
              Effect.zipRight(
                Effect.map(HostFacts.processCost(), (before) => {
                  cost = HostFacts.processCost(before)
                })
              ),
              Effect.zipRight(index),
              scopes.into(name)
            )
          case "preserve-running":
            return PreserveRunning.run(carrying(), vmOf(vm)).pipe(scopes.into(name, vm))
          case "pause":
            return Effect.zipRight(prelude, Pause.run(carrying(), vmOf(vm)))
          case "save-state":
            return Effect.all([flushed, SaveState.run(carrying(), vmOf(vm))], { concurrency: 2, discard: true })
          case "preserve-state":
            return Effect.asVoid(PreserveState.run(carrying(), vmOf(vm)))
          case "jump":
            return Effect.flatMap(index, (index) => Jump.run(carrying(), index, cost))
        }
      }

      const aboutOf = (vm: string | undefined): Hooks.About =>
        vm === undefined ? { run: log.run } : about(carrying(), vmOf(vm))

      const run = (
        phase: Phase.Phase,
        vm: string | undefined
      ): Effect.Effect<unknown, unknown, Services | Scope.Scope> => {
        const checkpoints = options.checkpoints ?? {}
        if (phase.name === "preflight")
          return Effect.zipRight(
            Hooks.checkpoint(checkpoints, "before", phase.name, { run: log.run }),
            effectOf(phase, vm)
          )
        const { journal, hooks } = carrying()
        const what = { phase: phase.name, ...(vm === undefined ? {} : { vm }) }
        const told = aboutOf(vm)
        return Effect.gen(function* () {
          yield* journal.note({ kind: "intent", ...what })
          yield* Hooks.checkpoint(hooks, "before", phase.name, told)
          yield* effectOf(phase, vm)
          yield* Hooks.checkpoint(hooks, "after", phase.name, told)
          yield* journal.note({ kind: "receipt", ...what })
        })
      }

      const runAgain = (vm: string | undefined) =>
        Effect.suspend(() => Pause.undo(vmOf(vm).connection)).pipe(
          Effect.zipRight(
            log.emit({ type: "step", step: "pause", status: "undone", ...(vm === undefined ? {} : { vm }) })
          )
        )

      const undo = (phase: Phase.Phase, vm: string | undefined) =>
        Effect.gen(function* () {
          const { journal, hooks, vms } = carrying()
          const what = { phase: phase.name, ...(vm === undefined ? {} : { vm }) }
          // The kernel is unloaded with its scope.
          yield* Before.undo(phase, hooks, aboutOf(vm), { pause: runAgain(vm), loadKernel: Effect.void }).pipe(
            Effect.ensuring(phase.name === "load-kernel" ? scopes.close("index") : Effect.void),
            Effect.ensuring(scopes.close(phase.name, vm))
          )
          // The last of its phases: it is not carried any more.
          if (phase.name === "preserve-running" && vm !== undefined) vms.delete(vm)
          // What can't be written is undone once more by whoever comes next, and that is harmless.
          yield* Effect.ignore(journal.note({ kind: "undone", ...what }))
        })

      const conclude = (ended: Driver.Ended) =>
        Effect.gen(function* () {
          const { result, state, failures } = ended
          if (result === "refused")
            return yield* refusal ??
              new PreconditionFailed({
                what: `The preflight ended: ${reasonOf(failures[0]?.cause)}`,
                next: "Try again"
              })
          const notResumed = Driver.notUndone(ended)
          if (notResumed.length === 0) {
            yield* Effect.ignore(carrying().journal.end(result))
            yield* watchdog?.release ?? Effect.void
          }
          const vms = Object.keys(state.vms)
          if (result === "dry-run") {
            yield* log.emit({
              type: "outcome",
              result,
              message: `A dry run: everything up to the jump was done, and undone; ${vms.length} VM(s) run on`
            })
            return { _tag: "dry-run", run: log.run, vms } satisfies DryRun
          }
          const error = new RolledBack({ step: stepOf(state, failures), cause: causeOf(state, failures), notResumed })
          yield* log.emit({ type: "outcome", result: "rolled-back", message: error.message, detail: whyOf(error) })
          yield* log.flush
          return yield* error
        })

      return yield* Driver.drive({
        phases: Phase.withDeadlines(Before.phases, options.deadlines),
        first: Machine.begin(Before.phases, {
          policy: options.onFailure ?? "abort",
          dryRun: options.dryRun ?? false
        }),
        work: { run, undo },
        force: Effect.raceFirst(
          Deferred.await(late),
          options.force === undefined ? Effect.never : Effect.as(options.force, "told" as const)
        ),
        conclude
      })
    })
  )

/** For those who count: no step tells of a deadline, of a signal, or of a hook between two steps. */
const whyOf = ({ step, cause }: RolledBack) => ({ phase: step, ...failureOf(cause) })

const stepOf = ({ why }: Machine.State, failures: Driver.Ended["failures"]): string =>
  why?.phase ?? failures[0]?.phase ?? "preflight"

const causeOf = ({ why }: Machine.State, failures: Driver.Ended["failures"]): unknown => {
  if (why?.cause === "told") return new Error("the agent was told to end.")
  if (why?.cause === "too-late") return new Error("the guests would have stood still for longer than they may.")
  const failure = failures.find(({ phase, vm }) => phase === why?.phase && vm === why.vm) ?? failures[0]
  return failure === undefined ? new Error("no VM is left to carry.") : failure.cause
}

/**
 * What the blackout may take, from the first pause to the jump, unless told otherwise.
 *
 * @since 0.1.0
 * @category constants
 */
export const BLACKOUT_DEADLINE: Duration.Duration = Duration.seconds(60)
