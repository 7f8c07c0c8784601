/**
 * The watchdog (`upgrade/Watchdog.ts`): this program once more, with everything loaded that it takes to give guests back.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Recover from "../upgrade/Recover.ts"
import * as Turn from "../upgrade/Turn.ts"
import * as Unpublished from "../upgrade/Unpublished.ts"
import { words } from "../upgrade/Watchdog.ts"
import * as Layers from "./Layers.ts"
import { run } from "./Runner.ts"

/** A VMM may hang, and come to itself again later. */
const patience = Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(600))

/** Whoever takes the lock first cleans up; another agent has found the guests running then, and this one finds nothing to do. */
const takeOver = (vms: ReadonlyArray<string>) => {
  let journalIsDamaged = false
  const { listener, note } = Unpublished.watch(() => undefined)
  // Which guests are meant is known here without the journal. With it, nobody is let run whom it doesn't name.
  const recover = Effect.suspend(() => Recover.recover(journalIsDamaged ? { vms, listener } : { listener })).pipe(
    Effect.tapErrorTag("JournalCorrupt", () =>
      Effect.sync(() => {
        journalIsDamaged = true
      })
    )
  )
  return Effect.scoped(
    Turn.ofLock(Schedule.spaced("20 millis")).pipe(
      Effect.zipRight(Effect.retry(recover, { while: (error) => error._tag === "JournalCorrupt", times: 1 }))
    )
  ).pipe(
    Effect.tapError((error) => Effect.logError(error.message)),
    Effect.retry(patience),
    Effect.ensuring(note)
  )
}

/** Everything that the agent has to say, until its end. */
const untilItsEnd = (onReady: (vms: ReadonlyArray<string>) => void) =>
  Effect.async<string>((resume) => {
    let said = ""
    process.stdin.setEncoding("utf8")
    process.stdin.on("data", (text: string) => {
      const before = said.includes("\n")
      said += text
      if (!before && said.includes("\n")) onReady(vmsOf(said))
    })
    const end = () => resume(Effect.succeed(said))
    process.stdin.once("end", end)
    process.stdin.once("error", end)
  })

const vmsOf = (said: string): ReadonlyArray<string> => (said.split("\n")[0] ?? "").split(" ").filter((id) => id !== "")

/**
 * @since 0.1.0
 * @category running
 */
export const main = (): void =>
  run(
    Effect.gen(function* () {
      const said = yield* untilItsEnd(() => process.stdout.write(`${words.ready}\n`))
      if (said.endsWith(words.done)) return
      yield* takeOver(vmsOf(said))
    }).pipe(
      Effect.provide(Layers.host),
      Effect.provide(Logger.replace(Logger.defaultLogger, Logger.logfmtLogger.pipe(Logger.withConsoleError)))
    )
  )
