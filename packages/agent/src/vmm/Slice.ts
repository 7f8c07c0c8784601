/**
 * On a host that systemd runs, each VMM has a scope of its own in the slice `liveupdate.slice`: what VMs may take is set in one place, and no
 * end of a service or of a login takes one along. A VMM is put there when its guest runs; it is a matter of order, and never of time.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import * as SystemdBus from "./SystemdBus.ts"
import type { VmRecord } from "./Vm.ts"
import { Vmm } from "./Vmm.ts"
import { VmStore } from "./VmStore.ts"

/**
 * @since 0.1.0
 * @category constants
 */
export const slice = "liveupdate.slice"

/**
 * @since 0.1.0
 * @category accessors
 */
export const scopeOf = (id: string): string => `liveupdate-vm-${id}.scope`

const isThere = (pid: number): boolean => {
  try {
    return Fs.readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/${slice}/`)
  } catch {
    // It has ended, and needs no place any more.
    return true
  }
}

/**
 * Puts a VM's VMM in its scope, unless it is there, or systemd isn't. What can't be done is a warning: the guest runs all the same.
 *
 * @since 0.1.0
 * @category operations
 */
export const place = ({ id, pid }: Pick<VmRecord, "id" | "pid">): Effect.Effect<void> =>
  Effect.suspend(() =>
    isThere(pid) || !Fs.existsSync(SystemdBus.socket)
      ? Effect.void
      : SystemdBus.start(scopeOf(id), [
          ["Description", "s", `Virtual machine ${id}`],
          ["Slice", "s", slice],
          // A host that goes down ends it with what is left, after its services: a live update that doesn't happen gives it back.
          ["DefaultDependencies", "b", false],
          ["CollectMode", "s", "inactive-or-failed"],
          ["PIDs", "au", [pid]]
        ])
  ).pipe(
    Effect.catchAll((error) => Effect.logWarning(`VM ${id} runs outside of ${slice}`, error.message)),
    Effect.withSpan("Slice.place")
  )

/**
 * All VMMs that run.
 *
 * @since 0.1.0
 * @category operations
 */
export const placeAll: Effect.Effect<void, never, VmStore | Vmm> = Effect.gen(function* () {
  const store = yield* VmStore
  const vmm = yield* Vmm
  const running = yield* Effect.filter(yield* store.list, vmm.isRunning)
  yield* Effect.forEach(running, place, { discard: true })
}).pipe(Effect.catchAll((error) => Effect.logWarning(`VMs may run outside of ${slice}`, error.message)))
