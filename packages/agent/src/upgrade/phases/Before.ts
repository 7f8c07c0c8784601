/**
 * The phases up to the jump, in their order.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Hooks from "../Hooks.ts"
import * as Phase from "../Phase.ts"
import * as Jump from "./Jump.ts"
import * as LoadKernel from "./LoadKernel.ts"
import * as Pause from "./Pause.ts"
import * as PreserveRunning from "./PreserveRunning.ts"
import * as PreserveState from "./PreserveState.ts"
import * as SaveState from "./SaveState.ts"

/**
 * Everything that can be known before anything is touched (`Preflight`); guests that `--stop-others` shuts down may take their time.
 *
 * @since 0.1.0
 * @category phases
 */
export const preflight = Phase.host("preflight", "before", Duration.minutes(5))

/**
 * @since 0.1.0
 * @category phases
 */
export const phases = [
  preflight,
  LoadKernel.phase,
  PreserveRunning.phase,
  Pause.phase,
  SaveState.phase,
  PreserveState.phase,
  Jump.phase
] as const

/**
 * @since 0.1.0
 * @category models
 */
export type Name = (typeof phases)[number]["name"]

/**
 * How a phase is undone, by a live agent and by whoever comes after one that died: the operator's programs are told alike. `own` is what
 * differs: the one has the VM's line and the kernel's scope in its hands, the other looks at what is there.
 *
 * @since 0.1.0
 * @category operations
 */
export const undo = <E, R>(
  phase: Phase.Phase,
  hooks: Hooks.Hooks,
  about: Hooks.About,
  own: { readonly pause: Effect.Effect<void, E, R>; readonly loadKernel: Effect.Effect<void, E, R> }
): Effect.Effect<void, E, R> => {
  switch (phase.name as Name) {
    case "load-kernel":
      return own.loadKernel
    case "preserve-running":
      return PreserveRunning.undo(hooks, about)
    case "pause":
      return own.pause
    case "save-state":
      return SaveState.undo(hooks, about)
    default:
      return Effect.void
  }
}
