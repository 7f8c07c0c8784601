/**
 * The phases after the jump, in their order.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Phase from "../Phase.ts"
import * as Finish from "./Finish.ts"
import * as Restore from "./Restore.ts"
import * as Resume from "./Resume.ts"
import * as Retrieve from "./Retrieve.ts"
import * as Verify from "./Verify.ts"

/**
 * What the guests don't wait for: the time line's data, and what was sent along is freed.
 *
 * @since 0.1.0
 * @category phases
 */
export const report = Phase.host("report", "after", Duration.minutes(1))

/**
 * @since 0.1.0
 * @category phases
 */
export const phases = [Retrieve.phase, Restore.phase, Resume.phase, Verify.phase, Finish.phase, report] as const

/**
 * @since 0.1.0
 * @category models
 */
export type Name = (typeof phases)[number]["name"]
