/**
 * Before the jump: the VMM writes what is not guest RAM (vCPUs, devices) into a memfd. The operator's `post-save` belongs to it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { about, type CarriedVm, type Carrying, made } from "../Carrying.ts"
import * as Hooks from "../Hooks.ts"
import * as Phase from "../Phase.ts"

/**
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("save-state", "before", Duration.seconds(60))

/**
 * @since 0.1.0
 * @category operations
 */
export const run = (carrying: Carrying, vm: CarriedVm) =>
  vm.connection
    .saveState(made(vm).state.fd)
    .pipe(
      carrying.log.step("save-state", { vm: vm.record.id, describe: ({ bytes }) => ({ stateBytes: bytes }) }),
      Effect.zipRight(
        Hooks.run(carrying.hooks, "post-save", about(carrying, vm)).pipe(
          carrying.log.hook("post-save", carrying.hooks, vm.record.id)
        )
      )
    )

/**
 * The VMM takes the VM back when it resumes it; before that, the operator's programs take back what they did.
 *
 * @since 0.1.0
 * @category operations
 */
export const undo = (hooks: Hooks.Hooks, about: Hooks.About) => Hooks.undo(hooks, "post-save", about)
