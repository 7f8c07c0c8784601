/**
 * Guests that could not be brought back after a jump: their memory is kept in their sessions, until they are resumed or given up.
 *
 * @since 0.1.0
 */
import * as Custody from "@liveupdate/sdk/Custody"
import * as HostLock from "@liveupdate/sdk/HostLock"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as StartedVmm from "../vmm/StartedVmm.ts"
import { Vmm } from "../vmm/Vmm.ts"
import { VmStore } from "../vmm/VmStore.ts"
import * as Discarded from "./Discarded.ts"
import type * as Event from "./Event.ts"
import * as Handover from "./Handover.ts"
import * as Resume from "./Resume.ts"
import * as RunEvents from "./RunEvents.ts"

/**
 * No guest of this id is parked here.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotParked extends Data.TaggedError("NotParked")<{
  readonly vm: string
  readonly parked: ReadonlyArray<string>
}> {
  override get message(): string {
    const parked = this.parked.length === 0 ? "no VM is" : `parked: ${this.parked.join(", ")}`
    return `VM ${this.vm} is not parked; ${parked}. Look at: agent park --list`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Parked {
  readonly vm: string
  readonly session: string
  /** Of the process that holds the session. */
  readonly pid: number
  readonly holder: Custody.Held["holder"]
  /** Bytes; unknown when the VM's record is gone. */
  readonly memoryBytes: number | undefined
  /** The step that failed last, and why, as the last run's log has it. */
  readonly failed: { readonly step: Event.Step; readonly reason: string } | undefined
}

const prefix = Handover.vmSession("")

const failureOf = (events: ReadonlyArray<Event.Event>, vm: string): Parked["failed"] => {
  const event = events.findLast((event) => event.type === "step" && event.vm === vm && event.status === "failed")
  return event?.type === "step"
    ? { step: event.step, reason: String(event.detail?.["reason"] ?? "unknown") }
    : undefined
}

/**
 * All of them, by name. Fails with `HolderSilent` when whoever holds sessions doesn't answer.
 *
 * @since 0.1.0
 * @category operations
 */
export const list = Effect.gen(function* () {
  const store = yield* VmStore
  const held = (yield* Custody.list).filter(({ session }) => session.startsWith(prefix))
  const events = held.length === 0 ? [] : ((yield* RunEvents.last)?.events ?? [])
  return yield* Effect.forEach(held, ({ session, holder, pid }) => {
    const vm = session.slice(prefix.length)
    return store.get(vm).pipe(
      Effect.map((record) => record.config.memoryBytes),
      Effect.orElseSucceed(() => undefined),
      Effect.map((memoryBytes): Parked => ({ vm, session, holder, pid, memoryBytes, failed: failureOf(events, vm) }))
    )
  })
}).pipe(Effect.withSpan("Parked.list"))

/** A VMM that was started for it and waits, or whatever it does: it must not keep the memory. */
const endVmm = (id: string) =>
  Effect.gen(function* () {
    const store = yield* VmStore
    const vmm = yield* Vmm
    const paths = yield* store.prepare(id)
    const { config } = yield* store.get(id)
    const started = yield* StartedVmm.find(paths, vmm.incomingCommand(config, paths))
    if (started === undefined) return
    const { connection } = yield* vmm.adopt(config, paths, started.pid)
    yield* connection.quit
  }).pipe(Effect.scoped)

/**
 * Gives a parked guest up: its VMM is ended, its session finished, and the kernel frees its memory. The guest's disks and its record stay:
 * it can be booted anew. The other guests of the handover stay as they are; the index session is finished with the last of them.
 *
 * @since 0.1.0
 * @category operations
 */
export const discard = Effect.fn("Parked.discard")(function* (id: string, options: Resume.ResumeOptions = {}) {
  yield* Effect.scoped(
    Effect.gen(function* () {
      yield* HostLock.acquire()
      const parked = (yield* list).map((_) => _.vm)
      if (!parked.includes(id)) return yield* new NotParked({ vm: id, parked })
      const store = yield* VmStore
      yield* Effect.catchTag(endVmm(id), "VmNotFound", () => Effect.void)
      // Noted first: who is killed in between has given it up all the same.
      yield* Discarded.note(yield* store.prepare(id))
      const session = yield* LiveUpdate.retrieve(Handover.vmSession(id))
      yield* session.finish
    })
  )
  // Nothing is brought back by this; it ends the run if there is nothing left to wait for.
  return yield* Resume.resume({ ...options, vms: [] }).pipe(
    Effect.as([]),
    Effect.catchTag("NeedsOperator", (error) => Effect.succeed(error.vms.map((_) => _.vm)))
  )
})
