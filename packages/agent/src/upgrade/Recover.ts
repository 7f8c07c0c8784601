/**
 * After an agent that died before its jump: what its journal says it had begun is looked at, and undone. Its sessions are gone with it,
 * the kernel has given every file back.
 *
 * @since 0.1.0
 */
import * as KernelRelease from "@liveupdate/sdk/KernelRelease"
import type * as Kexec from "@liveupdate/sdk/Kexec"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type VmConnection, Vmm } from "../vmm/Vmm.ts"
import { VmStore } from "../vmm/VmStore.ts"
import * as Driver from "./Driver.ts"
import type * as Event from "./Event.ts"
import * as HostFacts from "./HostFacts.ts"
import * as Journal from "./Journal.ts"
import * as Machine from "./Machine.ts"
import type { Phase } from "./Phase.ts"
import * as Before from "./phases/Before.ts"
import * as Jump from "./phases/Jump.ts"
import * as LoadKernel from "./phases/LoadKernel.ts"
import * as Pause from "./phases/Pause.ts"
import * as RunLog from "./RunLog.ts"
import * as SystemdJump from "./SystemdJump.ts"
import { JournalCorrupt, NotGivenBack } from "./UpgradeError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Recovered =
  /** No live update is waiting for anything. */
  | { readonly _tag: "nothing" }
  /** What it had begun was undone: these VMs run again. */
  | { readonly _tag: "recovered"; readonly run: string; readonly vms: ReadonlyArray<string> }
  /** The host went down and was booted anew, and nothing was handed over: its guests have ended, as in a power cut. */
  | { readonly _tag: "cold-boot"; readonly run: string; readonly vms: ReadonlyArray<string> }

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly directory?: string
  readonly listener?: RunLog.Listener
  /** Where the journal is, if not in its place. */
  readonly journal?: string
  /**
   * Ids of the VMs that are asked for. After a jump only they are brought back (all of them unless told); without a journal they are let
   * run, though nothing says that a live update made them stand still.
   */
  readonly vms?: ReadonlyArray<string>
}

const connected = <A, E, R>(id: string, use: (connection: VmConnection) => Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* VmStore
      const vmm = yield* Vmm
      return yield* use(yield* vmm.connect(yield* store.get(id)))
    })
  )

/** It stands still, for whatever reason. */
const standsStill = (id: string) => Effect.orElseSucceed(connected(id, Pause.observe), () => false)

const standing = Effect.gen(function* () {
  const store = yield* VmStore
  const ids = (yield* store.list).map(({ id }) => id)
  return yield* Effect.filter(ids, standsStill, { concurrency: 8 })
})

/** Whoever names them has looked: what no journal says is not taken back unasked. */
const letRun = (vms: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const still = yield* Effect.filter(vms, standsStill, { concurrency: 8 })
    if (still.length === 0) return { _tag: "nothing" } satisfies Recovered as Recovered
    yield* Effect.forEach(still, (id) => connected(id, Pause.undo), { concurrency: "unbounded", discard: true })
    return { _tag: "recovered", run: "unknown", vms: still } satisfies Recovered as Recovered
  })

/** There is nothing to give back of a VM that has ended. */
const runAgain = (id: string, log: RunLog.RunLog) =>
  connected(id, (connection) => Effect.whenEffect(Pause.undo(connection), Pause.observe(connection))).pipe(
    Effect.catchTags({
      VmmExited: (error) => Effect.logWarning(error.message),
      VmNotFound: (error) => Effect.logWarning(error.message)
    }),
    Effect.asVoid,
    log.step<void>("recover", { vm: id })
  )

const undoOf = (
  phase: Phase,
  id: string | undefined,
  { run, hooks }: Journal.Begin,
  log: RunLog.RunLog
): Effect.Effect<void, unknown, Vmm | VmStore | Kexec.Kexec> =>
  Before.undo<unknown, Vmm | VmStore | Kexec.Kexec>(
    phase,
    hooks,
    { run, ...(id === undefined ? {} : { vm: id }) },
    {
      pause: id === undefined ? Effect.void : runAgain(id, log),
      loadKernel: Effect.zipRight(SystemdJump.release, Effect.whenEffect(LoadKernel.undo, LoadKernel.observe))
    }
  )

const undoAll = ({ begin, intents }: Extract<Journal.Reading, { _tag: "unfinished" }>, options: Options) =>
  Effect.scoped(
    Effect.gen(function* () {
      const log = yield* RunLog.open({ ...options, run: begin.run })
      const journal = yield* Effect.option(Journal.reopen(options.journal))
      const note = (record: Journal.Note) =>
        // What can't be written is undone once more by whoever comes next, and that is harmless.
        journal._tag === "None" ? Effect.void : Effect.ignore(journal.value.note(record))
      if (intents.some(({ phase }) => phase === Jump.phase.name)) yield* Jump.undo(begin.hooks, { run: begin.run })
      return yield* Driver.drive({
        phases: Before.phases,
        first: Machine.found(Before.phases, intents),
        work: {
          run: () => Effect.dieMessage("nothing is begun in what was found"),
          undo: (phase, vm) =>
            Effect.zipRight(
              undoOf(phase, vm, begin, log),
              note({ kind: "undone", phase: phase.name, ...(vm === undefined ? {} : { vm }) })
            )
        },
        conclude: (ended) =>
          Effect.gen(function* () {
            const vms = Driver.notUndone(ended)
            if (vms.length > 0) return yield* new NotGivenBack({ vms })
            if (journal._tag === "Some") yield* Effect.ignore(journal.value.end("rolled-back"))
            yield* log.emit({
              type: "outcome",
              result: "rolled-back",
              message: "The agent ended before the jump; the VMs run as before"
            })
            yield* log.flush
            return { _tag: "recovered", run: begin.run, vms: begin.vms } satisfies Recovered as Recovered
          })
      })
    })
  )

/** How a run ended of which nothing is at work any more. */
const tellOutcome = (run: string, result: Event.Result, message: string, options: Options) =>
  Effect.gen(function* () {
    const log = yield* RunLog.open({ ...options, run })
    yield* log.emit({ type: "outcome", result, message })
    yield* log.flush
  }).pipe(Effect.scoped)

/** The host was booted anew since, and without the guests' memory. */
const coldBoot = ({ begin, intents }: Extract<Journal.Reading, { _tag: "unfinished" }>, options: Options) =>
  Effect.gen(function* () {
    const jumped = intents.some(({ phase }) => phase === Jump.phase.name)
    const message =
      `The host went down ${jumped ? "at" : "before"} the jump and was booted anew, without the guests' memory: ` +
      `${begin.vms.join(", ")} ended as in a power cut. Start them again: agent vm start`
    yield* tellOutcome(begin.run, "cold-boot", message, options)
    yield* Journal.close("cold-boot", options.journal)
    return { _tag: "cold-boot", run: begin.run, vms: begin.vms } satisfies Recovered as Recovered
  })

/** All that is asked of an event here: the second half loads this, and needs no decoder of events otherwise. */
const decodeMark = Schema.decodeUnknownOption(
  Schema.parseJson(Schema.Struct({ boot: Schema.String, type: Schema.String }))
)

/**
 * A run that went through, of which the disk had no room for the outcome. That it went through is sure: it was at work under this kernel, and
 * nothing that was handed over is left.
 */
const closeLog = ({ run, vms, boot: from }: Journal.Begin, boot: string, options: Options) =>
  Effect.gen(function* () {
    if (from === boot) return
    const { lines } = yield* RunLog.readFrom(run, 0, options.directory)
    const marks = lines.flatMap((line) => Option.toArray(decodeMark(line)))
    if (!marks.some((mark) => mark.boot === boot) || marks.some(({ type }) => type === "outcome")) return
    const message = `The host went to ${yield* KernelRelease.running}, and nothing of ${vms.join(", ")} waits any more; the agent that saw it end could not write that down`
    yield* tellOutcome(run, "upgraded", message, options)
  })

/**
 * Does it, if there is anything to do. Only under the host's lock, or the run may be alive; and only when nothing was handed over, or
 * there is no way back.
 *
 * Fails with `JournalCorrupt` when there is a journal of this boot that can't be trusted; it is kept aside, so only the first who comes
 * is told. Fails with `NotGivenBack` when a VM doesn't run again.
 *
 * @since 0.1.0
 * @category operations
 */
export const recover = Effect.fn("Recover.recover")(function* (options: Options = {}) {
  // Guests that ran now would do so on memory whose state is saved, and on its way to the next kernel.
  if (yield* SystemdJump.isLeaving) return { _tag: "nothing" } satisfies Recovered as Recovered
  const reading = yield* Journal.read(options.journal)
  const boot = yield* HostFacts.bootId
  switch (reading._tag) {
    case "ended":
      yield* closeLog(reading.begin, boot, options)
      return yield* letRun(options.vms ?? [])
    case "none":
      return yield* letRun(options.vms ?? [])
    case "unfinished":
      return yield* reading.begin.boot === boot ? undoAll(reading, options) : coldBoot(reading, options)
    case "corrupt": {
      const keptAt = yield* Journal.setAside(options.journal)
      // Of an earlier boot: nothing of what it speaks of is there any more.
      if (reading.boot !== undefined && reading.boot !== boot) return yield* letRun(options.vms ?? [])
      return yield* new JournalCorrupt({ reason: reading.reason, keptAt, standing: yield* standing })
    }
  }
})
