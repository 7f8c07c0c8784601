/**
 * After the jump: the VM's session, the guest's RAM and its saved state are taken up. From here on somebody else holds the session too.
 *
 * @since 0.1.0
 */
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Preservation from "@liveupdate/sdk/Preservation"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Vmm } from "../../vmm/Vmm.ts"
import { VmStore } from "../../vmm/VmStore.ts"
import * as Discarded from "../Discarded.ts"
import * as Handover from "../Handover.ts"
import * as Phase from "../Phase.ts"
import type { Returning, ReturningVm } from "../Returning.ts"
import * as Turn from "../Turn.ts"

/**
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("retrieve", "after", Duration.seconds(30))

/**
 * On a second try some VMs may have come back before, or been given up.
 *
 * @since 0.1.0
 * @category operations
 */
export const observe = (id: string) =>
  Effect.gen(function* () {
    const store = yield* VmStore
    const vmm = yield* Vmm
    if (yield* Discarded.isNoted(yield* store.prepare(id))) return true
    return yield* vmm.isRunning(yield* store.get(id))
  }).pipe(Effect.orElseSucceed(() => false))

/**
 * @since 0.1.0
 * @category operations
 */
export const run = ({ log }: Returning, vm: ReturningVm) =>
  Effect.gen(function* () {
    const session = yield* LiveUpdate.retrieve(vm.session).pipe(Turn.ofDevice)
    const { manifest, files } = yield* Preservation.restore(session, Handover.Vm, {
      ram: Memfd.Memfd,
      state: Memfd.Memfd
    })
    vm.retrieved = { session, vm: manifest.data, ...files }
  }).pipe(
    log.step("retrieve", { vm: vm.id }),
    Effect.catchTag("SessionNotFound", (error) =>
      Effect.flatMap(observe(vm.id), (settled) => {
        vm.settled = settled
        return settled ? Effect.void : Effect.fail(error)
      })
    )
  )
