/**
 * After the jump: the guest is proven alive, as long as its memory could still be retrieved again.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Phase from "../Phase.ts"
import { type Returning, type ReturningVm, retrieved, started } from "../Returning.ts"
import { verify } from "../Verify.ts"

/**
 * Longer than what it waits for by itself: vCPUs that move, and the operator's check.
 *
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("verify", "after", Duration.minutes(2), { barrier: true })

/**
 * @since 0.1.0
 * @category operations
 */
export const run = ({ log, unverified }: Returning, vm: ReturningVm) =>
  unverified
    ? Effect.void
    : verify(retrieved(vm).vm.config, started(vm).connection).pipe(log.step("verify", { vm: vm.id }))
