/**
 * `agent resume`, apart from all other commands: guests stand still while this loads, so it brings neither the command line
 * parser nor pino with it.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import type * as Keeper from "@liveupdate/sdk/Keeper"
import * as KeeperProgram from "@liveupdate/sdk/KeeperProgram"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import type { Event } from "../upgrade/Event.ts"
import { type ResumeOptions, resume } from "../upgrade/Resume.ts"
import type { Listener } from "../upgrade/RunLog.ts"
import * as Unpublished from "../upgrade/Unpublished.ts"
import * as Watchdog from "../upgrade/Watchdog.ts"
import * as Afterwards from "./Afterwards.ts"
import * as Layers from "./Layers.ts"
import * as Output from "./Output.ts"
import * as Priority from "./Priority.ts"
import { forced, run } from "./Runner.ts"
import * as Supervision from "./Supervision.ts"
import * as WatchdogMain from "./WatchdogMain.ts"

/**
 * Tells whoever waits for the guests (the host's early start-up) that they run: it closes the descriptor that
 * LIVEUPDATE_READY_FD names.
 */
const signalReady = Effect.sync(() => {
  const fd = Number(process.env["LIVEUPDATE_READY_FD"] ?? Number.NaN)
  if (!Number.isSafeInteger(fd) || fd < 3) return
  delete process.env["LIVEUPDATE_READY_FD"]
  Fs.closeSync(fd)
})

/**
 * Events shown to a person have to be written somewhere, and that costs: they are kept until the guests run.
 */
const buffered = (listener: Listener) => {
  let waiting: Array<Event> | undefined = []
  return {
    listener: (event: Event) => {
      if (waiting === undefined) listener(event)
      else waiting.push(event)
    },
    release: Effect.sync(() => {
      const events = waiting ?? []
      waiting = undefined
      events.forEach(listener)
    })
  }
}

/**
 * All of it but the kernel, the VMM, and the words at the end. `ResumeRehearsal` goes through the same.
 *
 * @since 0.1.0
 * @category running
 */
export const program = (
  listener: Listener,
  options: Omit<ResumeOptions, "listener" | "onRunning"> & { readonly onReady?: Effect.Effect<void> } = {}
) => {
  const output = buffered(listener)
  const { onReady = Effect.void, ...others } = options
  return resume({
    force: forced,
    ...others,
    listener: output.listener,
    onRunning: Effect.all([signalReady, onReady, Priority.giveBack, output.release], { discard: true })
  }).pipe(
    Effect.ensuring(output.release),
    Effect.provide(Logger.replace(Logger.defaultLogger, Logger.logfmtLogger.pipe(Logger.withConsoleError)))
  )
}

/** `early` looks for it, and starts nothing more once (early/early). */
const markResumed = Effect.try(() => Fs.writeFileSync("/run/liveupdate/resumed", "", { mode: 0o600 })).pipe(
  Effect.ignore
)

/** Tells this program to be the keeper; a directory follows. */
const KEEP = "--keep"

/** A snapshot in memory has no other path than one of this process's descriptors. */
const inheritedFd = (argument: string): number | undefined => {
  const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(argument)?.[1]
  return fd === undefined ? undefined : Number(fd)
}

/**
 * The keeper is this very program once more, as there may be no file of another one: Node and the snapshot can lie in memory
 * only (`upgrade/CarriedAgent.ts`, which gives the snapshot the descriptor 4, the first one that a keeper inherits).
 */
const keeper = (): Keeper.Command => ({
  file: "/proc/self/exe",
  args: [...process.execArgv, process.argv[1] ?? "resume", KEEP],
  descriptors: process.execArgv.map(inheritedFd).filter((fd) => fd !== undefined)
})

/**
 * What this program was started for.
 *
 * @since 0.1.0
 * @category running
 */
export const start = (args: ReadonlyArray<string>): void => {
  const keep = args.indexOf(KEEP)
  if (args.includes(Watchdog.WATCH)) WatchdogMain.main()
  else if (keep >= 0) process.exitCode = KeeperProgram.run(args[keep + 1])
  else main(args.some((argument) => argument.endsWith("ndjson")) ? "ndjson" : "human")
}

const main = (format: Output.Format): void => {
  const beforeSystemd = process.env["LIVEUPDATE_READY_FD"] !== undefined
  const told = Unpublished.watch(Output.eventListener(format))
  run(
    Effect.scoped(
      Effect.gen(function* () {
        const { ready } = yield* Supervision.make("Brings virtual machines back")
        const resumed = yield* program(told.listener, { onReady: ready("The guests run") })
        if (beforeSystemd) yield* markResumed
        yield* Output.resumed(format, resumed)
        yield* ready(Output.sentence(resumed))
      })
    ).pipe(
      // Where none of them came back it is said as well, or the boot would wait for systemd's journal, which is a part of it.
      Effect.ensuring(Effect.zipRight(signalReady, Afterwards.run({ beforeSystemd, told: told.note }))),
      Effect.provide(Layers.hostWith({ command: keeper() }))
    )
  )
}
