import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { type Faults, NotJumped, type Options, SimulatedHost } from "../../SimulatedHost.ts"
import { type ErrnoName, numbers } from "../errno.ts"
import { Kernel, type SystemCalls } from "../Kernel.ts"
import * as libc from "../libc.ts"
import type * as FileHandler from "./FileHandler.ts"
import * as Machine from "./Machine.ts"

const negated = (name: ErrnoName | undefined): number => (name === undefined ? 0 : -numbers[name])

const faultsOf = (faults: Faults): FileHandler.Faults => ({
  open: () => negated(faults.open?.()),
  preserve: (file) => negated(faults.preserve?.(file)),
  freeze: (file) => negated(faults.freeze?.(file)),
  retrieve: (file) => negated(faults.retrieve?.(file)),
  canFinish: (file) => faults.canFinish?.(file) ?? true
})

/** Fibers on it stand still as soon as their program is over: no finalizer runs where there is no process any more. */
const mortal = (isOver: () => boolean): Scheduler.Scheduler => ({
  shouldYield: (fiber) => Scheduler.defaultScheduler.shouldYield(fiber),
  scheduleTask: (task, priority) =>
    Scheduler.defaultScheduler.scheduleTask(() => {
      if (!isOver()) task()
    }, priority)
})

/** `boot` makes the services of a program that begins anew on each kernel; they get system calls that end with it. */
export const make = <Services>(
  options: Options,
  boot: (calls: SystemCalls) => Effect.Effect<Services, never, Scope.Scope>
) =>
  Effect.gen(function* () {
    const machine = yield* Effect.acquireRelease(
      Effect.sync(() =>
        Machine.make(libc.systemCalls, {
          profile: options.profile ?? "7.3",
          faults: faultsOf(options.faults ?? {}),
          pciDevices: options.pciDevices ?? []
        })
      ),
      ({ end }) => Effect.sync(end)
    )
    const scope = yield* Effect.scope
    const begin = Effect.suspend(() => boot(machine.start().calls)).pipe(Scope.extend(scope))
    const views = new WeakSet<SystemCalls>([machine.calls])
    let services = yield* begin

    const simulateKexec = <A, E, R>(before: Effect.Effect<A, E, R>): Effect.Effect<void, E | NotJumped, R> =>
      Effect.gen(function* () {
        const program = machine.start()
        views.add(program.calls)
        const fiber = yield* before.pipe(
          Effect.provideService(Kernel, program.calls),
          Effect.forkDaemon,
          Effect.withScheduler(mortal(program.isOver))
        )
        const end = yield* Effect.raceFirst(
          Effect.as(
            Effect.promise(() => program.ended),
            undefined
          ),
          Fiber.await(fiber)
        ).pipe(Effect.onInterrupt(() => (program.isOver() ? Effect.void : Fiber.interrupt(fiber))))
        if (end === undefined) services = yield* begin
        else yield* Exit.isSuccess(end) ? new NotJumped() : end
      })

    return {
      calls: machine.calls,
      services: () => services,
      host: SimulatedHost.of({
        simulateKexec,
        run: (effect) =>
          Effect.flatMap(Kernel, (kernel) =>
            views.has(kernel) ? effect : Effect.provideService(effect, Kernel, machine.calls)
          ),
        jumps: Effect.sync(machine.jumps)
      })
    }
  })
