/**
 * After the jump: the kernel lets go of the VM's memory, which is the VMM's alone from now on.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hooks from "../Hooks.ts"
import * as Phase from "../Phase.ts"
import { about, type Returning, type ReturningVm, retrieved } from "../Returning.ts"

/**
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("finish", "after", Duration.minutes(1))

/**
 * The operator's `post-finish` comes last: nothing can be kept from the guest any more, so what it says is only told.
 *
 * @since 0.1.0
 * @category operations
 */
export const run = (returning: Returning, vm: ReturningVm) =>
  Effect.gen(function* () {
    const { log, hooks } = returning
    yield* retrieved(vm).session.finish.pipe(log.step("finish", { vm: vm.id }))
    yield* Hooks.run(hooks, "post-finish", about(returning, vm)).pipe(
      log.hook("post-finish", hooks, vm.id),
      Effect.catchAll((error) => Effect.logError(error.message))
    )
  })
