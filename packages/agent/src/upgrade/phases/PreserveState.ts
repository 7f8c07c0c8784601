/**
 * Before the jump: the saved state goes into the VM's session, and the manifest that completes it. It goes with the session.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type CarriedVm, type Carrying, made } from "../Carrying.ts"
import * as Files from "../Files.ts"
import * as Handover from "../Handover.ts"
import * as Phase from "../Phase.ts"

/**
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("preserve-state", "before", Duration.seconds(30), { concurrency: 2 })

/**
 * @since 0.1.0
 * @category operations
 */
export const run = ({ log }: Carrying, vm: CarriedVm) =>
  Effect.gen(function* () {
    const { config, createdAt, id, consolePath } = vm.record
    const { preservation, state } = made(vm)
    // Its last words: the page cache dies with the kernel. The VMM writes no more.
    const words = yield* Effect.fork(Files.sync(consolePath))
    yield* preservation.extend({ state: { file: state, token: Handover.tokens.state } })
    yield* preservation.complete(Handover.Vm, { version: 1, run: log.run, config, createdAt })
    yield* words
    return id
  }).pipe(log.step("preserve-state", { vm: vm.record.id }))
