/**
 * A host of the model for tests that want to see what the SDK asks of the kernel, or to change what it answers.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Custody from "../src/Custody.ts"
import { Kernel, type SystemCalls } from "../src/internal/Kernel.ts"
import { systemCalls } from "../src/internal/libc.ts"
import { noFaults } from "../src/internal/model/FileHandler.ts"
import * as Machine from "../src/internal/model/Machine.ts"
import * as LiveUpdate from "../src/LiveUpdate.ts"
import type { PciDevice, Profile } from "../src/SimulatedHost.ts"

export const acquire = (profile: Profile = "7.3", pciDevices: ReadonlyArray<PciDevice> = []) =>
  Effect.acquireRelease(
    Effect.sync(() => Machine.make(systemCalls, { profile, faults: noFaults, pciDevices })),
    (machine) => Effect.sync(() => machine.end())
  )

export type Change = (calls: SystemCalls) => SystemCalls

/**
 * The SDK on one program's system calls. What holds sessions is not the program's, so `change` doesn't stand between it and the
 * kernel.
 */
const layerOf = (calls: SystemCalls, change: Change = (calls) => calls) => {
  const custody = Custody.layerMemory.pipe(Layer.provide(Layer.succeed(Kernel, calls)))
  return LiveUpdate.layer.pipe(Layer.provideMerge(custody), Layer.provideMerge(Layer.sync(Kernel, () => change(calls))))
}

/** A new program on the machine's kernel. */
export const program = (machine: Machine.Machine, change?: Change) =>
  Layer.unwrapEffect(Effect.sync(() => layerOf(machine.start().calls, change)))

/** Two instances of the SDK in one process, that know nothing of one another but have the same custody. */
export const twice = <A, E, A2, E2>(
  machine: Machine.Machine,
  first: Effect.Effect<A, E, LiveUpdate.LiveUpdate | Scope.Scope>,
  second: (first: A) => Effect.Effect<A2, E2, LiveUpdate.LiveUpdate | Scope.Scope>
) =>
  Effect.suspend(() => {
    const kernel = Layer.succeed(Kernel, machine.start().calls)
    const instance = Layer.fresh(LiveUpdate.layer)
    return Effect.provide(first, instance).pipe(
      Effect.flatMap((result) => Effect.provide(second(result), instance)),
      Effect.scoped,
      Effect.provide(Layer.provideMerge(Custody.layerMemory, kernel))
    )
  })

// include/uapi/linux/reboot.h
const LINUX_REBOOT_CMD_KEXEC = 0x45584543

/** Runs a program that jumps when it is through; settles when the next kernel runs. */
export const jumpAfter = <E>(
  machine: Machine.Machine,
  before: Effect.Effect<void, E, LiveUpdate.LiveUpdate | Scope.Scope>
) =>
  Effect.gen(function* () {
    const { calls, ended } = machine.start()
    const jump = Effect.promise(async () => {
      const image = calls.openFile("/boot/vmlinuz", 0)
      await calls.kexecFileLoad(image, -1, "", 4)
      return calls.reboot(LINUX_REBOOT_CMD_KEXEC)
    })
    // It never ends when it succeeds: its kernel, and so the program, is no more.
    const fiber = yield* Effect.forkDaemon(
      Effect.zipRight(before, jump).pipe(Effect.scoped, Effect.provide(layerOf(calls)))
    )
    const refused = Effect.flatMap(Fiber.join(fiber), (errno) => Effect.dieMessage(`the jump was refused: ${errno}`))
    yield* Effect.raceFirst(
      Effect.promise(() => ended),
      refused
    )
  })
