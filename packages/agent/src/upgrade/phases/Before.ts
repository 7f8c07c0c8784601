/**
 * The phases up to the jump, in their order.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
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
