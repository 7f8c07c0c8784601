/**
 * Runs a command as a process: signals interrupt it, failures become one line on stderr and a documented exit code.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { ExitCode, fromError } from "./ExitCode.ts"

const signalCodes = { SIGINT: 130, SIGTERM: 143 } as const

const once = Deferred.unsafeMake<void>(FiberId.none)
const again = Deferred.unsafeMake<void>(FiberId.none)

/**
 * Ends at the first signal.
 *
 * @since 0.1.0
 * @category running
 */
export const told: Effect.Effect<void> = Deferred.await(once)

/**
 * Ends the process as it is: nothing is undone, and the kernel closes what it has open.
 *
 * @since 0.1.0
 * @category running
 */
export const end: Effect.Effect<never> = Effect.zipRight(
  Effect.sync(() => process.exit(ExitCode.ok)),
  Effect.never
)

/**
 * Ends at the second signal: who gives it doesn't want to wait for a safe point any more.
 *
 * @since 0.1.0
 * @category running
 */
export const forced: Effect.Effect<void> = Deferred.await(again)

/**
 * A failure whose text was shown already, such as that of a command that ran on a host; only its exit code is left.
 *
 * @since 0.1.0
 * @category models
 */
export class Exited {
  readonly _tag = "Exited"
  readonly code: number
  constructor(code: number) {
    this.code = code
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const report = (cause: Cause.Cause<unknown>): number => {
  const failure = Cause.failureOption(cause)
  if (Option.isSome(failure)) {
    if (failure.value instanceof Exited) return failure.value.code
    process.stderr.write(`agent: ${messageOf(failure.value)}\n`)
    return fromError(failure.value)
  }
  process.stderr.write(`agent: this is a bug, please report it\n${Cause.pretty(cause)}\n`)
  return ExitCode.failed
}

/**
 * Runs the program and ends the process with its exit code.
 *
 * @since 0.1.0
 * @category running
 */
export const run = (program: Effect.Effect<void, unknown>): void => {
  let signalled: keyof typeof signalCodes | undefined
  const fiber = Effect.runFork(program)
  const onSignal = (signal: keyof typeof signalCodes) => {
    if (signalled !== undefined) {
      process.stderr.write(`agent: ${signal} again: not waiting for what is under way\n`)
      return Deferred.unsafeDone(again, Effect.void)
    }
    signalled = signal
    Deferred.unsafeDone(once, Effect.void)
    process.stderr.write(`agent: ${signal}: stopping at the next safe point, and undoing what can be undone\n`)
    Effect.runFork(Fiber.interruptFork(fiber))
  }
  // Whoever reads the output may go away. A live update goes on without an audience.
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error
    })
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  fiber.addObserver((exit) => {
    const code = Exit.isSuccess(exit)
      ? ExitCode.ok
      : signalled !== undefined && Cause.isInterrupted(exit.cause)
        ? signalCodes[signalled]
        : report(exit.cause)
    // Output to a pipe is asynchronous: the process may end only when it is out.
    process.exitCode = code
    process.stdout.write("", () => process.stderr.write("", () => process.exit(code)))
  })
}
