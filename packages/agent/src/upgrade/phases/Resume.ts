/**
 * After the jump: the guest runs again. The operator's `pre-resume` comes first, and a guest whose hook says no stays parked.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Apart from "../../vmm/Apart.ts"
import * as StartedVmm from "../../vmm/StartedVmm.ts"
import { makeRecord } from "../../vmm/Vm.ts"
import { Vmm } from "../../vmm/Vmm.ts"
import { VmStore } from "../../vmm/VmStore.ts"
import * as Hooks from "../Hooks.ts"
import * as Phase from "../Phase.ts"
import { about, type Returning, type ReturningVm, retrieved, started } from "../Returning.ts"

/**
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("resume", "after", Duration.minutes(1))

/**
 * @since 0.1.0
 * @category operations
 */
export const run = (returning: Returning, vm: ReturningVm) =>
  Effect.gen(function* () {
    const vmm = yield* Vmm
    const store = yield* VmStore
    const { log, hooks } = returning
    const { connection, paths, process, running } = started(vm)
    // It must not hold the disks when the next try comes.
    const quit = Apart.run(connection.quit)
    if (!running) {
      yield* Hooks.run(hooks, "pre-resume", about(returning, vm)).pipe(
        log.hook("pre-resume", hooks, vm.id),
        Effect.onError(() => quit)
      )
      // One that has ended by now has not run the guest, and another one can.
      yield* Effect.whenEffect(StartedVmm.noteResumed(paths), vmm.isRunning(process))
      yield* connection.resume.pipe(
        log.step("resume", { vm: vm.id }),
        // It has said no. Without an answer the guest may be running: the next try finds this very VMM.
        Effect.tapErrorTag("QmpCommandFailed", () => Effect.zipRight(StartedVmm.noteNotResumed(paths), quit))
      )
    }
    yield* store.put(makeRecord(paths, process, retrieved(vm).vm.createdAt))
  })
