/**
 * Proves that a guest is alive after a live update, before its session is finished: from then on its memory can't be retrieved again.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { VmConfig } from "../vmm/Vm.ts"
import type { VmConnection } from "../vmm/Vmm.ts"
import * as Executable from "./Executable.ts"

/** A guest that has nothing to do wakes once in a while all the same: its clock, its timers. */
const ACTIVITY_DEADLINE = Duration.seconds(20)

/** Most guests have moved at the first look. */
const looks = Schedule.union(Schedule.exponential("5 millis", 1.3), Schedule.spaced("250 millis"))

/**
 * How long an operator's check may take.
 *
 * @since 0.1.0
 * @category constants
 */
export const CHECK_DEADLINE = Duration.seconds(30)

/**
 * The VMM says that the guest runs, and it doesn't.
 *
 * @since 0.1.0
 * @category errors
 */
export class GuestNotAlive extends Data.TaggedError("GuestNotAlive")<{
  readonly vm: string
  readonly reason: string
}> {
  override get message(): string {
    return `VM ${this.vm} is not alive: ${this.reason}`
  }
}

/**
 * The VMM says that it runs, its vCPUs move, and the operator's check is content, if there is one; that is run with `LIVEUPDATE_VM`, the
 * VM's id, and `LIVEUPDATE_VMM_PID`.
 *
 * @since 0.1.0
 * @category operations
 */
export const verify = Effect.fn("Verify.verify")(function* (config: VmConfig, connection: VmConnection) {
  const vm = config.id
  const { state, detail } = yield* connection.status
  if (state !== "running") return yield* new GuestNotAlive({ vm, reason: `its VMM says ${detail}` })
  const before = yield* connection.activity
  yield* connection.activity.pipe(
    Effect.repeat({ until: (now) => now > before, schedule: looks }),
    Effect.timeoutFail({
      duration: ACTIVITY_DEADLINE,
      onTimeout: () =>
        new GuestNotAlive({
          vm,
          reason: `none of its vCPUs has run for ${Duration.format(ACTIVITY_DEADLINE)}, though its VMM says running`
        })
    })
  )
  if (config.check === undefined) return
  yield* Executable.run(config.check, {
    environment: { LIVEUPDATE_VM: vm, LIVEUPDATE_VMM_PID: String(connection.pid) },
    deadline: CHECK_DEADLINE
  }).pipe(Effect.mapError((error) => new GuestNotAlive({ vm, reason: `its check ${error.message}` })))
})
