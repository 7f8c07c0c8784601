/**
 * Does what the machine says: begins phases beside each other, undoes them one after the other, and tells it how they ended.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Apart from "../vmm/Apart.ts"
import * as Machine from "./Machine.ts"
import type { Phase } from "./Phase.ts"
import { reasonOf } from "./RunLog.ts"

/**
 * A phase was not done in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeadlineExceeded extends Data.TaggedError("DeadlineExceeded")<{
  readonly phase: string
  readonly vm: string | undefined
  readonly deadline: Duration.Duration
}> {
  override get message(): string {
    const who = this.vm === undefined ? "" : ` of VM ${this.vm}`
    return `${this.phase}${who} was not done within ${Duration.format(this.deadline)}.`
  }
}

/**
 * Why a phase failed: what a person is told, and what it was.
 *
 * @since 0.1.0
 * @category models
 */
export interface Failure {
  readonly phase: string
  readonly vm: string | undefined
  readonly cause: unknown
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Ended {
  readonly result: Machine.Result
  readonly state: Machine.State
  /** In the order in which they came. */
  readonly failures: ReadonlyArray<Failure>
}

/**
 * Why a VM is where it is: the last thing that failed of it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const reasonFor = (failures: Ended["failures"], vm: string): string | undefined => {
  const failure = failures.findLast((failure) => failure.vm === vm)
  return failure === undefined ? undefined : reasonOf(failure.cause)
}

/**
 * The VMs that the undo could not give back running.
 *
 * @since 0.1.0
 * @category accessors
 */
export const notUndone = ({ state, failures }: Ended) =>
  state.notUndone.map((vm) => ({ vm, reason: reasonFor(failures, vm) ?? "unknown" }))

/**
 * What the phases do.
 *
 * @since 0.1.0
 * @category models
 */
export interface Work<R> {
  /** What the preflight returns is the list of VMs that are carried. */
  readonly run: (phase: Phase, vm: string | undefined) => Effect.Effect<unknown, unknown, R>
  /** Fails when the VM isn't given back running. */
  readonly undo: (phase: Phase, vm: string | undefined) => Effect.Effect<void, unknown, R>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<A, E, R> {
  readonly phases: Machine.Phases
  readonly first: Machine.Step
  readonly work: Work<R>
  /** Ends when the run has to stop at once, such as at a second signal, or at the blackout's deadline. */
  readonly force?: Effect.Effect<"told" | "too-late", never, R>
  /** The last thing that is done, in a run that is interrupted as well. */
  readonly conclude: (ended: Ended) => Effect.Effect<A, E, R>
}

const whyFailed = (cause: Cause.Cause<unknown>): unknown => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "Some") return failure.value
  return Cause.isInterruptedOnly(cause) ? new Error("it was interrupted.") : Cause.squash(cause)
}

/** Before the jump what is late is undone, after it parked; the jump itself has no deadline, as nothing stops it. */
const within = <A, E, R>(phase: Phase, vm: string | undefined, effect: Effect.Effect<A, E, R>) =>
  Duration.isFinite(phase.deadline)
    ? Effect.timeoutFail(effect, {
        duration: phase.deadline,
        onTimeout: () => new DeadlineExceeded({ phase: phase.name, vm, deadline: phase.deadline })
      })
    : effect

/**
 * Drives a run to its end. When it is interrupted it stops at the next safe point (before the jump everything is undone), and only then
 * ends as interrupted.
 *
 * @since 0.1.0
 * @category running
 */
export const drive = <A, E, R>({ phases, first, work, force, conclude }: Options<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.scoped(
      Effect.gen(function* () {
        const events = yield* Queue.unbounded<Machine.Event>()
        const failures: Array<Failure> = []
        const running = new Set<Fiber.RuntimeFiber<unknown>>()
        const places = new Map(
          phases.flatMap((phase) =>
            Number.isFinite(phase.concurrency)
              ? [[phase.name, Effect.unsafeMakeSemaphore(phase.concurrency)] as const]
              : []
          )
        )
        const find = (name: string): Phase => {
          const phase = phases.find((phase) => phase.name === name)
          if (phase === undefined) throw new Error(`no phase ${name}`)
          return phase
        }

        const run = (phase: Phase, vm: string | undefined) => {
          const about = { phase: phase.name, ...(vm === undefined ? {} : { vm }) }
          const place = places.get(phase.name)
          const effect = Effect.interruptible(
            within(
              phase,
              vm,
              Effect.suspend(() => work.run(phase, vm))
            )
          )
          return Effect.exit(place === undefined ? effect : place.withPermits(1)(effect)).pipe(
            Effect.flatMap((exit) => {
              if (Exit.isSuccess(exit))
                return Queue.offer(events, {
                  _tag: "done",
                  ...about,
                  ...(Array.isArray(exit.value) ? { vms: exit.value } : {})
                })
              failures.push({ phase: phase.name, vm, cause: whyFailed(exit.cause) })
              return Queue.offer(events, { _tag: "failed", ...about })
            }),
            Effect.forkScoped,
            Effect.map((fiber) => {
              running.add(fiber)
              fiber.addObserver(() => running.delete(fiber))
            })
          )
        }

        const undoOne = (phase: Phase, vm: string | undefined) =>
          Apart.run(Effect.suspend(() => work.undo(phase, vm))).pipe(
            Effect.map((exit) => {
              if (Exit.isSuccess(exit)) return [] as ReadonlyArray<string>
              failures.push({ phase: `undo of ${phase.name}`, vm, cause: whyFailed(exit.cause) })
              return vm === undefined ? [] : [vm]
            })
          )

        const execute = (command: Machine.Command): Effect.Effect<unknown, never, R | Scope.Scope> => {
          switch (command._tag) {
            case "run":
              return run(find(command.phase), command.vm)
            case "undo": {
              const phase = find(command.phase)
              return Effect.forEach(phase.per === "host" ? [undefined] : command.vms, (vm) => undoOne(phase, vm), {
                concurrency: "unbounded"
              }).pipe(
                Effect.flatMap((failed) =>
                  Queue.offer(events, { _tag: "undone", phase: phase.name, failed: failed.flat() })
                )
              )
            }
            case "leave-behind":
              return Effect.forEach(command.phases, (name) => undoOne(find(name), command.vm)).pipe(
                Effect.flatMap((failed) =>
                  Queue.offer(events, {
                    _tag: "undone",
                    phase: "",
                    vm: command.vm,
                    failed: [...new Set(failed.flat())]
                  })
                ),
                Effect.forkScoped
              )
            case "interrupt":
              return Effect.suspend(() => Fiber.interruptAll([...running]))
            case "conclude":
              return Effect.void
          }
        }

        if (force !== undefined)
          yield* Effect.interruptible(force).pipe(
            Effect.flatMap((cause) => Queue.offer(events, { _tag: "stop", cause, force: true })),
            Effect.forkScoped
          )

        let [state, commands] = first
        let interrupted = false
        for (;;) {
          for (const command of commands) {
            yield* execute(command)
            if (command._tag === "conclude") {
              const exit = yield* Apart.run(conclude({ result: command.result, state, failures }))
              return yield* interrupted ? Effect.interrupt : exit
            }
          }
          const event = interrupted
            ? yield* Queue.take(events)
            : yield* Effect.exit(restore(Queue.take(events))).pipe(
                Effect.map((exit): Machine.Event => {
                  if (Exit.isSuccess(exit)) return exit.value
                  interrupted = true
                  return { _tag: "stop", cause: "told", force: false }
                })
              )
          ;[state, commands] = Machine.step(phases, state, event)
        }
      })
    )
  )
