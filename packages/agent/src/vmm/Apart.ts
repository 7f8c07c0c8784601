/**
 * Cleaning up that may have to wait for somebody who never answers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * Runs it in a fiber of its own, to its end, and returns how that was. A finalizer can't be interrupted, and a timeout does nothing but
 * interrupt: inside of one it would wait for ever for what it is to end. In its own fiber it does its work, and nobody else interrupts it.
 *
 * @since 0.1.0
 * @category running
 */
export const run = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.uninterruptible(Effect.flatMap(Effect.forkDaemon(Effect.interruptible(effect)), Fiber.await))
