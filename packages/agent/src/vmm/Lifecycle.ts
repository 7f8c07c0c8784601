/**
 * Starting, listing and stopping the VMs of this host.
 *
 * @since 0.1.0
 */
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { makeRecord, type VmConfig, type VmRecord } from "./Vm.ts"
import { Vmm } from "./Vmm.ts"
import { VmStore } from "./VmStore.ts"

/**
 * A VM of this id runs already.
 *
 * @since 0.1.0
 * @category errors
 */
export class VmAlreadyRunning extends Data.TaggedError("VmAlreadyRunning")<{
  readonly vm: string
  readonly pid: number
}> {
  override get message(): string {
    return `VM ${this.vm} runs already (pid ${this.pid}). Stop it first: agent vm stop ${this.vm}`
  }
}

/**
 * Boots a VM whose RAM is a memfd of exactly the configured size, so that it can be preserved later.
 *
 * @since 0.1.0
 * @category operations
 */
export const start = Effect.fn("Lifecycle.start")(function* (config: VmConfig) {
  const store = yield* VmStore
  const vmm = yield* Vmm
  const earlier = yield* store.get(config.id).pipe(Effect.catchTag("VmNotFound", () => Effect.succeed(undefined)))
  if (earlier !== undefined && (yield* vmm.isRunning(earlier)))
    return yield* new VmAlreadyRunning({ vm: config.id, pid: earlier.pid })
  const paths = yield* store.prepare(config.id)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const ram = yield* Memfd.create({ name: `liveupdate-ram-${config.id}`, size: config.memoryBytes })
      const { process, connection } = yield* vmm.launch(config, paths, { ramFd: ram.fd, incoming: false })
      const record = makeRecord(paths, process, yield* Clock.currentTimeMillis)
      // A VM that nobody remembers could never be carried nor stopped.
      yield* store.put(record).pipe(Effect.tapError(() => Effect.ignore(connection.quit)))
      return record
    })
  )
})

/**
 * @since 0.1.0
 * @category models
 */
export interface Listed {
  readonly record: VmRecord
  readonly state: "running" | "paused" | "saved" | "incoming" | "down" | "stopped" | "unreachable"
}

const stateOf = (record: VmRecord) =>
  Effect.gen(function* () {
    const vmm = yield* Vmm
    if (!(yield* vmm.isRunning(record))) return "stopped" as const
    return (yield* Effect.scoped(Effect.flatMap(vmm.connect(record), (_) => _.status))).state
  }).pipe(Effect.orElseSucceed(() => "unreachable" as const))

/**
 * All VMs that were started here, and how each is now.
 *
 * @since 0.1.0
 * @category operations
 */
export const list = Effect.gen(function* () {
  const store = yield* VmStore
  return yield* Effect.forEach(
    yield* store.list,
    (record) => Effect.map(stateOf(record), (state): Listed => ({ record, state })),
    { concurrency: 8 }
  )
})

/**
 * What a guest may take to shut down, unless told otherwise.
 *
 * @since 0.1.0
 * @category constants
 */
export const STOP_PATIENCE: Duration.Duration = Duration.seconds(30)

/**
 * Presses the power button, and pulls the plug when the guest hasn't ended within `patience`. Harmless on a VM that is
 * stopped.
 *
 * @since 0.1.0
 * @category operations
 */
export const stop = Effect.fn("Lifecycle.stop")(function* (id: string, patience: Duration.DurationInput) {
  const store = yield* VmStore
  const vmm = yield* Vmm
  const record = yield* store.get(id)
  if (!(yield* vmm.isRunning(record))) return "already-stopped" as const
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const connection = yield* vmm.connect(record)
      yield* connection.powerdown
      const ended = yield* Effect.timeoutOption(connection.exited, patience)
      if (ended._tag === "Some") return "shut-down" as const
      yield* connection.quit
      return "killed" as const
    })
  )
})
