/**
 * A host for tests that drive the agent: kernel and kexec are the SDK's model, its files are in a directory of the test's own, and the VMM
 * is whichever is given, with real processes.
 */
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type * as Preflight from "@liveupdate/agent/upgrade/Preflight"
import * as DetachedProcess from "@liveupdate/agent/vmm/DetachedProcess"
import * as Lifecycle from "@liveupdate/agent/vmm/Lifecycle"
import type { VmConfig, VmRecord } from "@liveupdate/agent/vmm/Vm"
import { Vmm } from "@liveupdate/agent/vmm/Vmm"
import type { VmmError } from "@liveupdate/agent/vmm/VmmError"
import * as VmStore from "@liveupdate/agent/vmm/VmStore"
import { Custody, Kexec, LiveUpdate, type SimulatedHost } from "@liveupdate/sdk"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as KernelBytes from "../../sdk/test/KernelBytes.ts"

/** An empty directory, which goes with its scope, with an image of the next kernel in it. */
export const place = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "liveupdate-example-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  ),
  (directory) => {
    const kernel = join(directory, "vmlinuz")
    Fs.writeFileSync(kernel, KernelBytes.bzImage(KernelBytes.kernel()))
    const journal = join(directory, "journal")
    // Another test's host is another one: each has a lock of its own, which nobody else asks for.
    const lock = Effect.void
    const options: Preflight.UpgradeOptions = {
      vms: "all",
      kernel,
      commandLine: "kho=on liveupdate=on",
      journal,
      lock
    }
    return { directory, kernel, journal, lock, options, runs: join(directory, "runs") }
  }
)

export type Place = Effect.Effect.Success<typeof place>

export const layer = <E, R>({ directory }: Place, vmm: Layer.Layer<Vmm, E, R>, options?: SimulatedHost.Options) =>
  Layer.mergeAll(
    Kexec.layerMemory.pipe(Layer.provideMerge(LiveUpdate.layerMemory(options))),
    Custody.layerMemory,
    VmStore.layerAt({ state: join(directory, "vms"), runtime: join(directory, "run") }),
    vmm
  )

export type Services = Layer.Layer.Success<ReturnType<typeof layer>> | Scope.Scope

/** The guest of `own-vmm`, as its VMM was built. */
export const toyVm = (id: string): VmConfig => ({
  id,
  memoryBytes: 16 << 20,
  cpus: 1,
  machine: "toy",
  accelerator: "tcg",
  cpu: "toy",
  disks: [],
  binary: process.execPath,
  args: [fileURLToPath(new URL("../dist/own-vmm/vmm.js", import.meta.url))]
})

/** Ends the VMMs, as the old kernel's end does, or the test's: they are not asked, as their monitor may be busy with whoever jumped. */
export const endVmms = Effect.gen(function* () {
  const vmm = yield* Vmm
  const store = yield* VmStore.VmStore
  const running = yield* Effect.filter(yield* store.list, vmm.isRunning)
  yield* Effect.forEach(running, (record) =>
    Effect.zipRight(
      DetachedProcess.kill(record.pid),
      Effect.repeat(vmm.isRunning(record), { while: (runs) => runs, schedule: Schedule.spaced("5 millis") })
    )
  )
})

/** Boots a VM, which ends with the scope. */
export const start = (
  config: VmConfig
): Effect.Effect<VmRecord, Effect.Effect.Error<ReturnType<typeof Lifecycle.start>>, Services> =>
  Effect.acquireRelease(Lifecycle.start(config), () => Effect.ignore(endVmms))

/** A tmpfs and all processes are gone. */
export const loseWhatTheKernelHeld = ({ directory }: Place) =>
  Effect.zipRight(
    endVmms,
    Effect.sync(() => Fs.rmSync(join(directory, "run"), { recursive: true }))
  )

/** How far the VM's guest has come, once it is farther than `than`. */
export const activity = (
  id: string,
  than = 0
): Effect.Effect<number, VmmError | Effect.Effect.Error<ReturnType<VmStore.VmStore["Type"]["get"]>>, Services> =>
  Effect.gen(function* () {
    const record = yield* (yield* VmStore.VmStore).get(id)
    const connection = yield* (yield* Vmm).connect(record)
    return yield* connection.activity.pipe(
      Effect.repeat({ until: (now) => now > than, schedule: Schedule.spaced("5 millis") })
    )
  }).pipe(Effect.scoped)
