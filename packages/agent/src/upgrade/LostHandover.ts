/**
 * A handover that this kernel can't read. The kernel reads all sessions at the first open of its device or none (`luo_session_deserialize` in
 * `kernel/liveupdate/luo_session.c`), and remembers that it failed: no guest of the jump can be brought back, now or later.
 *
 * @since 0.1.0
 */
import type { HandoverUnreadable } from "@liveupdate/sdk/LiveUpdateError"
import * as Effect from "effect/Effect"
import * as HostClock from "./HostClock.ts"
import * as HostFacts from "./HostFacts.ts"
import * as Journal from "./Journal.ts"
import * as RunLog from "./RunLog.ts"
import { GuestsLost } from "./UpgradeError.ts"

const RESULT = "lost"

/** The run that this boot comes from, as the journal on the disk has it: nothing else is left to tell. */
const jumped = (file: string | undefined) =>
  Effect.gen(function* () {
    const reading = yield* Journal.read(file)
    if (reading._tag !== "unfinished" && reading._tag !== "ended") return undefined
    if (reading.begin.boot === (yield* HostFacts.bootId)) return undefined
    if (reading._tag === "ended" && reading.result !== RESULT) return undefined
    return { ...reading.begin, told: reading._tag === "ended" }
  })

/**
 * Says so of the run, once, in its log; fails with `GuestsLost` each time it is asked.
 *
 * @since 0.1.0
 * @category operations
 */
export const settle = (
  cause: HandoverUnreadable,
  options: { readonly directory?: string; readonly listener?: RunLog.Listener; readonly journal?: string }
): Effect.Effect<never, GuestsLost> =>
  Effect.gen(function* () {
    const found = yield* jumped(options.journal)
    if (found === undefined) return yield* new GuestsLost({ run: undefined, vms: [], cause })
    const { run, told, vms } = found
    const error = new GuestsLost({ run, vms, cause })
    if (told) return yield* error
    const log = yield* RunLog.open({ ...options, run })
    yield* log.emit({ type: "clock", ...(yield* HostClock.calibrate) })
    yield* Effect.forEach(vms, (vm) => Effect.ignore(log.step("retrieve", { vm })(Effect.fail(cause))))
    yield* log.emit({ type: "outcome", result: RESULT, message: error.message, detail: RunLog.failureOf(cause) })
    yield* log.flush
    yield* Journal.close(RESULT, options.journal)
    return yield* error
  }).pipe(Effect.scoped)
