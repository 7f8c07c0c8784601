/**
 * The jump: the one step that nothing undoes. It is called inside every scope that has to be open for it, and if it succeeds none of them
 * ever ends.
 *
 * @since 0.1.0
 */
import * as Kexec from "@liveupdate/sdk/Kexec"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Apart from "../../vmm/Apart.ts"
import { type Carrying, made } from "../Carrying.ts"
import * as Files from "../Files.ts"
import * as Handover from "../Handover.ts"
import * as Hooks from "../Hooks.ts"
import * as JumpWay from "../JumpWay.ts"
import * as Phase from "../Phase.ts"
import { failureOf } from "../RunLog.ts"
import type * as SystemdJump from "../SystemdJump.ts"

/**
 * No deadline: nothing may end it half-way.
 *
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.host("jump", "at", Duration.infinity)

/**
 * Of a jump that was refused.
 *
 * @since 0.1.0
 * @category operations
 */
export const undo = (hooks: Hooks.Hooks, about: Hooks.About) => Hooks.undo(hooks, "pre-jump", about)

/**
 * `cost` is what the event of the jump tells of this process; `index` lists the VMs' sessions.
 *
 * @since 0.1.0
 * @category operations
 */
export const run = (
  carrying: Carrying,
  index: SystemdJump.Carried,
  cost: Effect.Effect<Readonly<Record<string, unknown>>>
) =>
  Effect.gen(function* () {
    const { log, hooks, options, vms } = carrying
    yield* Hooks.run(hooks, "pre-jump", { run: log.run }).pipe(log.hook("pre-jump", hooks))
    // What the operator's programs have written since the last time dies with the page cache otherwise.
    if (hooks["post-save"] !== undefined || hooks["pre-jump"] !== undefined) yield* Files.syncAll
    yield* log.emit({
      type: "step",
      step: "jump",
      status: "started",
      detail: { ...(yield* cost), way: JumpWay.of(options.jump), ...Handover.count(vms.size) }
    })
    yield* log.flush
    const jump: Effect.Effect<never, unknown, Kexec.Kexec> =
      options.jump?.jump(log.run, [index, ...[...vms.values()].map((vm) => made(vm).preservation)]) ?? Kexec.jump
    return yield* jump.pipe(
      Effect.tapError((error) => log.emit({ type: "step", step: "jump", status: "failed", detail: failureOf(error) }))
    )
  }).pipe(Effect.onError(() => Apart.run(undo(carrying.hooks, { run: carrying.log.run }))))
