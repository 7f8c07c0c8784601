/**
 * Before the jump: a session with the guest's RAM in it, made while the guest runs. The operator's `pre-pause` belongs to it, so that no
 * guest stands still for another one's hook.
 *
 * @since 0.1.0
 */
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Preservation from "@liveupdate/sdk/Preservation"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { about, type CarriedVm, type Carrying } from "../Carrying.ts"
import * as Handover from "../Handover.ts"
import * as Hooks from "../Hooks.ts"
import * as Phase from "../Phase.ts"
import * as Turn from "../Turn.ts"

/**
 * The kernel pins RAM page by page: some tens of milliseconds for a GiB, more where it has to be moved.
 *
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("preserve-running", "before", Duration.minutes(2), { concurrency: 2 })

/**
 * @since 0.1.0
 * @category operations
 */
export const run = (carrying: Carrying, vm: CarriedVm) =>
  Effect.gen(function* () {
    const { record } = vm
    yield* Effect.gen(function* () {
      const ram = yield* Memfd.adopt({ pid: record.pid, fd: record.ramFd })
      const preservation = yield* Turn.ofDevice(
        Preservation.open({
          session: Handover.vmSession(record.id),
          files: { ram: { file: ram, token: Handover.tokens.ram } }
        })
      )
      // Grows as the VMM writes it: its size is frozen only when it is preserved.
      const state = yield* Memfd.create({ name: `liveupdate-state-${record.id}`, size: 0 })
      vm.made = { preservation, state }
    }).pipe(
      carrying.log.step("preserve-running", {
        vm: record.id,
        describe: () => ({ memoryBytes: record.config.memoryBytes })
      })
    )
    yield* Hooks.run(carrying.hooks, "pre-pause", about(carrying, vm)).pipe(
      carrying.log.hook("pre-pause", carrying.hooks, record.id)
    )
  })

/**
 * The session goes with the process that made it: the kernel gives every file back (`luo_session_release` in
 * `kernel/liveupdate/luo_session.c`). What the operator's programs did is all that may be left.
 *
 * @since 0.1.0
 * @category operations
 */
export const undo = (hooks: Hooks.Hooks, about: Hooks.About) => Hooks.undo(hooks, "pre-pause", about)
