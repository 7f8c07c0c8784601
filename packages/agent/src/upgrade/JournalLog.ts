/**
 * Sends a run's events to systemd's journal. Those of the first half as they come; those of the second half when the guests run, by whoever
 * can: the journal starts later than an `agent resume` of the first process.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as SdJournal from "@liveupdate/sdk/SdJournal"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Event } from "./Event.ts"
import * as HostFacts from "./HostFacts.ts"
import * as JournalRecord from "./JournalRecord.ts"
import * as RunLog from "./RunLog.ts"

/** Which run's log was sent up to which byte, on this boot. */
const sentPath = "/run/liveupdate/journaled"

const send = (journal: SdJournal.Journal, event: Event): void => {
  const record = JournalRecord.make(event)
  if (record !== undefined) journal(record)
}

const readSent = (run: string): number => {
  try {
    const [name, offset] = Fs.readFileSync(sentPath, "utf8").trim().split(" ")
    return name === run ? Number(offset) : 0
  } catch {
    return 0
  }
}

const noteSent = (run: string, offset: number) =>
  Effect.try({
    try: () => {
      Fs.mkdirSync(Path.dirname(sentPath), { recursive: true, mode: 0o700 })
      Fs.writeFileSync(sentPath, `${run} ${offset}\n`, { mode: 0o600 })
    },
    catch: (error) => (error instanceof Error ? error.message : String(error))
  }).pipe(Effect.catchAll((reason) => Effect.logWarning("what happened can't be noted as sent to the journal", reason)))

/** Our own log, and lines of it that were torn are left out: no decoder is loaded for it in the second half. */
const eventOf = (line: string): Event | undefined => {
  try {
    return JSON.parse(line) as Event
  } catch {
    return undefined
  }
}

const openWithin = (patience: Duration.Duration) =>
  Effect.filterOrFail(SdJournal.open(), (journal) => journal !== undefined).pipe(
    Effect.retry(Schedule.upTo(Schedule.spaced("250 millis"), patience)),
    Effect.option
  )

/**
 * Sends what this boot has logged of the last run and not sent yet; to a journal that isn't there, if it comes within `patience`.
 *
 * @since 0.1.0
 * @category operations
 */
export const catchUp = (patience: Duration.Duration = Duration.zero): Effect.Effect<void> =>
  Effect.gen(function* () {
    const run = (yield* RunLog.list()).at(-1)
    if (run === undefined) return
    const found = yield* openWithin(patience)
    if (found._tag === "None") return
    const journal = found.value
    const boot = yield* HostFacts.bootId
    const { lines, next } = yield* RunLog.readFrom(run, readSent(run))
    for (const line of lines) {
      const event = eventOf(line)
      if (event?.boot === boot) send(journal, event)
    }
    yield* noteSent(run, next)
  }).pipe(Effect.scoped)

/**
 * Sends a run's events as they come, for as long as the scope lives; without a journal nobody hears them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const listener = (run: string): Effect.Effect<RunLog.Listener, never, Scope.Scope> =>
  Effect.gen(function* () {
    const journal = yield* SdJournal.open()
    if (journal === undefined) return () => undefined
    // A run that was refused before it began has no log, and who wasn't root could note nothing.
    yield* Effect.addFinalizer(() =>
      Effect.flatMap(RunLog.readFrom(run, 0), ({ next }) => (next === 0 ? Effect.void : noteSent(run, next)))
    )
    return (event: Event) => send(journal, event)
  })
