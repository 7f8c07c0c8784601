/**
 * After the jump: a VMM on the guest's RAM, and the saved state in it. The operator's `post-boot` comes first.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Apart from "../../vmm/Apart.ts"
import * as StartedVmm from "../../vmm/StartedVmm.ts"
import type { VmConfig, VmPaths } from "../../vmm/Vm.ts"
import { Vmm } from "../../vmm/Vmm.ts"
import { VmStore } from "../../vmm/VmStore.ts"
import * as HostClock from "../HostClock.ts"
import * as Phase from "../Phase.ts"
import { type Returning, type ReturningVm, retrieved } from "../Returning.ts"

/**
 * A VMM may take its time to start on a host that has just booted; the drivers have deadlines of their own.
 *
 * @since 0.1.0
 * @category phases
 */
export const phase = Phase.vm("restore", "after", Duration.minutes(4))

/**
 * The guest ran after the jump, and its VMM ended before its session was finished. What it did since is in its memory, and what was saved
 * of its processors and devices is from before: together they would be a guest that never was.
 *
 * @since 0.1.0
 * @category errors
 */
export class GuestHasRun extends Data.TaggedError("GuestHasRun")<{ readonly vm: string; readonly logPath: string }> {
  override get message(): string {
    return `VM ${this.vm} ran after the jump, and then its VMM ended (${this.logPath}): its saved state no longer fits its memory. Give it up, agent discard --vm ${this.vm} --yes, and start it anew.`
  }
}

/** A VMM for the guest that waits for its state; `started` is one that is there. */
const vmmFor = (config: VmConfig, paths: VmPaths, ramFd: number, started: StartedVmm.StartedVmm | undefined) =>
  Effect.gen(function* () {
    const vmm = yield* Vmm
    const from = yield* HostClock.monotonic
    const since = Effect.map(HostClock.monotonic, (now) => Math.round(now - from))
    const launch = Effect.gen(function* () {
      const launched = yield* vmm.launch(config, paths, { ramFd, incoming: true })
      yield* StartedVmm.note(paths, { pid: launched.process.pid, at: from })
      return { ...launched, state: "incoming" as const, waitedMs: yield* since }
    })
    const hasRun = yield* StartedVmm.wasResumed(paths)
    const refusal = new GuestHasRun({ vm: config.id, logPath: paths.logPath })
    const another = Effect.zipRight(hasRun ? Effect.fail(refusal) : Effect.void, launch)
    if (started === undefined) return yield* another
    return yield* Effect.gen(function* () {
      const adopted = yield* vmm.adopt(config, paths, started.pid)
      const { state } = yield* adopted.connection.status
      // Not incoming: an agent has brought it so far, and was killed, or had no answer. If it has not run, another one is as good.
      if (state === "incoming" || state === "running" || (hasRun && state === "paused"))
        return { ...adopted, state, waitedMs: yield* since }
      if (hasRun) return yield* another
      yield* adopted.connection.quit
      return yield* launch
    }).pipe(
      // One that has ended, of which this one will say why if it ends as well.
      Effect.catchTag("VmmExited", () => another)
    )
  })

/**
 * @since 0.1.0
 * @category operations
 */
export const run = ({ log, postBoot }: Returning, vm: ReturningVm) =>
  Effect.gen(function* () {
    const vmm = yield* Vmm
    const store = yield* VmStore
    const { vm: carried, ram, state } = retrieved(vm)
    yield* postBoot
    const paths = yield* store.prepare(vm.id)
    const early = yield* StartedVmm.find(paths, vmm.incomingCommand(carried.config, paths))
    const {
      process,
      connection,
      state: condition
    } = yield* vmmFor(carried.config, paths, ram.fd, early).pipe(
      log.step("start-vmm", {
        vm: vm.id,
        since: early?.at,
        describe: ({ waitedMs }) => ({ early: early !== undefined, waitedMs })
      })
    )
    vm.started = { process, connection, paths, running: condition === "running" }
    if (condition === "incoming")
      yield* connection.loadState(state.fd).pipe(
        log.step("load-state", { vm: vm.id }),
        // A VMM that didn't take the state is of no use, and it must not hold the disks when the next try comes.
        Effect.onError(() => Apart.run(connection.quit))
      )
  })
