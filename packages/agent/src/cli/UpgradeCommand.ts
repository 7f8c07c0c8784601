/**
 * `agent upgrade`, `agent status`, and `agent resume` for its help.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import { fileURLToPath } from "node:url"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Custody from "@liveupdate/sdk/Custody"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Configuration from "../config/Configuration.ts"
import * as Effective from "../config/Effective.ts"
import type { Said } from "../config/Origin.ts"
import * as Accounts from "../metrics/Accounts.ts"
import * as Hooks from "../upgrade/Hooks.ts"
import * as JournalLog from "../upgrade/JournalLog.ts"
import * as After from "../upgrade/phases/After.ts"
import * as Before from "../upgrade/phases/Before.ts"
import * as QuickStart from "../upgrade/QuickStart.ts"
import * as Resume from "../upgrade/Resume.ts"
import * as RunEvents from "../upgrade/RunEvents.ts"
import * as RunLog from "../upgrade/RunLog.ts"
import * as TimeLine from "../upgrade/TimeLine.ts"
import * as Traceparent from "../upgrade/Traceparent.ts"
import * as Unpublished from "../upgrade/Unpublished.ts"
import * as Upgrade from "../upgrade/Upgrade.ts"
import * as Afterwards from "./Afterwards.ts"
import * as Chosen from "./Chosen.ts"
import * as Joined from "./Joined.ts"
import * as LiveBar from "./LiveBar.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"
import { forced } from "./Runner.ts"
import * as Runs from "./Runs.ts"
import { UsageError } from "./UsageError.ts"

/** Sorts by time, and says it to a reader: 20261123T193000Z-1a2b */
const newRun = Effect.map(DateTime.now, (now) => {
  const time = DateTime.formatIso(now).replaceAll(/[-:]/g, "").replace(/\.\d+/, "")
  return `${time}-${process.pid.toString(16)}`
})

const phases: ReadonlyArray<string> = [...Before.phases, ...After.phases].flatMap(({ name, side }) =>
  side === "at" ? [] : [name]
)

/** What `--deadline` says about the phases' settings. */
const deadlinesOf = (
  pairs: ReadonlyArray<readonly [string, string]>
): Effect.Effect<ReadonlyArray<Said>, UsageError> => {
  const bad = pairs.find(([phase, seconds]) => !phases.includes(phase) || !(Number(seconds) > 0))
  return bad === undefined
    ? Effect.succeed(
        pairs.map(([phase, seconds]) => Effective.flag(`upgrade.deadlines.${phase}`, "--deadline", Number(seconds)))
      )
    : Effect.fail(
        new UsageError({
          message: `--deadline ${bad.join("=")} is not understood: give PHASE=SECONDS, with one of ${phases.join(", ")}.`
        })
      )
}

/** `systemctl enable liveupdate-metrics`: what it serves is counted before somebody removes old runs. */
const SERVED = "/etc/systemd/system/multi-user.target.wants/liveupdate-metrics.service"

/** One that was begun says in its log how it ended; another agent's is that one's. */
const hasLog = ({ _tag }: { readonly _tag: string }): boolean => _tag === "RolledBack" || _tag === "JoinedRunFailed"

/** Who may not write there has touched nothing, either; and it is the refusal itself that counts. */
const noteRefusal = (error: unknown) =>
  Accounts.refused(error).pipe(
    Effect.catchTag("PermissionDenied", () => Effect.void),
    Effect.catchAll((problem) => Effect.logWarning("the refusal can't be counted", problem.message))
  )

const upgrade = Command.make(
  "upgrade",
  {
    ...Chosen.options,
    onFailure: Options.choice("on-failure", ["abort", "leave-behind"] as const).pipe(
      Options.optional,
      Shared.withSetting(
        "upgrade.on-failure",
        "a VM that fails before the jump: abort undoes all; leave-behind carries the others, and it dies with the old kernel"
      )
    ),
    dryRun: Options.boolean("dry-run").pipe(
      Options.withDescription("do everything up to the jump, and undo it: guests stand still for a moment")
    ),
    deadlines: Options.keyValueMap("deadline").pipe(
      Options.withDefault(HashMap.empty<string, string>()),
      Options.withDescription("PHASE=SECONDS: a phase that takes longer fails; repeat it. See docs/states.md")
    ),
    maxPause: Options.integer("max-pause").pipe(
      Options.optional,
      Shared.withSetting(
        "upgrade.max-pause",
        "seconds that guests may stand still before the jump; past them everything is undone"
      )
    ),
    output: Shared.output,
    host: Shared.host
  },
  ({ onFailure, dryRun, deadlines, maxPause, output, host, ...chosen }) =>
    Effect.gen(function* () {
      yield* Chosen.check(chosen)
      const limits = yield* deadlinesOf([...deadlines])
      if (Option.isSome(host))
        return yield* (yield* Shared.hosts).upgrade(host.value, {
          arguments: [
            ...Chosen.forwarded(chosen),
            ...(dryRun ? ["--dry-run"] : []),
            ...[...deadlines].flatMap(([phase, seconds]) => ["--deadline", `${phase}=${seconds}`]),
            ...Shared.forwarded("--on-failure", onFailure),
            ...Shared.forwarded("--max-pause", maxPause)
          ],
          output
        })
      const effective = yield* Effective.load(chosen.config, [
        ...Chosen.said(chosen),
        ...Shared.said("upgrade.on-failure", "--on-failure", onFailure),
        ...Shared.said("upgrade.max-pause", "--max-pause", maxPause),
        ...limits
      ])
      const { metrics, traces, upgrade } = effective.configuration
      const options = yield* Chosen.upgradeOptions(chosen, effective)
      const run = yield* newRun
      const show = yield* LiveBar.listener(output)
      const start = Effect.scoped(
        Effect.gen(function* () {
          const note = yield* JournalLog.listener(run)
          const told = Unpublished.watch((event) => {
            show(event)
            note(event)
          })
          yield* Unpublished.want(
            metrics.textfile !== Configuration.NONE || traces.endpoint !== Configuration.NONE || Fs.existsSync(SERVED)
          )
          // When the guests run again: the scope closes after the run is over.
          yield* Effect.addFinalizer(() => told.note)
          const log = yield* RunLog.open({ run, listener: told.listener })
          const program = fileURLToPath(new URL("resume.cjs", import.meta.url))
          const trace = yield* Traceparent.begin(process.env["TRACEPARENT"])
          const checkpoints = process.env["LIVEUPDATE_CHECKPOINTS"]
          const { vms: carried } = yield* Upgrade.upgrade(
            {
              ...options,
              prepare: (vms) => QuickStart.prepare(program, vms, { carry: options.jump === undefined }),
              onFailure: upgrade["on-failure"],
              dryRun,
              blackoutDeadline: Duration.seconds(upgrade["max-pause"]),
              watchdog: QuickStart.watchdog(program),
              force: forced,
              trace,
              ...(checkpoints === undefined ? {} : { checkpoints: Hooks.checkpoints(checkpoints) })
            },
            log
          )
          yield* Output.result(output, `The dry run ${run} went well; running on: ${carried.join(", ")}.`, {
            type: "dry-run",
            run,
            vms: carried
          })
        })
      )
      return yield* Joined.orJoin(start, {
        kernel: chosen.kernel,
        vms: chosen.vms,
        listener: show
      }).pipe(Effect.tapError((error) => (hasLog(error) ? Effect.void : noteRefusal(error))))
    }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Replace the host's kernel under running VMs. Until the jump every failure gives them back running; after it `agent resume` goes on."
  )
)

const resume = Command.make(
  "resume",
  {
    vms: Options.text("vm").pipe(
      Options.repeated,
      Options.withDescription("only this VM; repeat it for more. The others stay parked")
    ),
    unverified: Options.boolean("unverified").pipe(
      Options.withDescription(
        "finish sessions without asking whether the guests are alive: you have seen that they are"
      )
    ),
    output: Shared.output
  },
  ({ vms, unverified, output }) => {
    const told = Unpublished.watch(Output.eventListener(output))
    return Effect.flatMap(
      Resume.resume({
        listener: told.listener,
        force: forced,
        unverified,
        ...(vms.length === 0 ? {} : { vms })
      }),
      (resumed) => Output.resumed(output, resumed)
    ).pipe(Effect.ensuring(Afterwards.run({ told: told.note })))
  }
).pipe(
  Command.withDescription(
    "After the jump, or after an interrupted upgrade: bring the VMs back. systemd calls it at boot"
  )
)

/** Sessions in custody: somebody is at work on them, or `agent resume` has to take them up again. */
const showHeld = (output: Output.Format) =>
  Custody.list.pipe(
    Effect.flatMap(
      Effect.forEach(
        ({ session, holder, pid }) =>
          Output.result(output, `Held until it is finished: session ${session} (${holder}, pid ${pid})`, {
            type: "held",
            session,
            holder,
            pid
          }),
        { discard: true }
      )
    ),
    Effect.catchAll((error) => Effect.logError(error.message))
  )

const status = Command.make(
  "status",
  {
    run: Options.text("run").pipe(Options.optional, Options.withDescription("a run's name; the last one by default")),
    follow: Options.boolean("follow").pipe(Options.withDescription("show events as they come, until the run ends")),
    output: Shared.output,
    host: Shared.host
  },
  ({ run, follow: following, output, host }) =>
    Effect.gen(function* () {
      if (Option.isSome(host))
        return yield* Shared.there([
          "status",
          ...(Option.isSome(run) ? ["--run", run.value] : []),
          ...(following ? ["--follow"] : []),
          "--output",
          output
        ])(host.value)
      const name = yield* Effect.tapError(Runs.find(run), () => showHeld(output))
      if (following)
        return yield* LiveBar.listener(output).pipe(
          Effect.flatMap((show) => Joined.follow(name, show)),
          Effect.scoped,
          Effect.asVoid
        )
      const events = yield* RunEvents.of(name)
      if (output === "ndjson") {
        events.forEach(Output.eventListener(output))
        return yield* showHeld(output)
      }
      const line = TimeLine.make(events)
      const outcome = events.findLast((event) => event.type === "outcome")
      const text = [
        line === undefined ? `Run ${name}` : TimeLine.render(line),
        "",
        outcome === undefined
          ? "It has no outcome yet. If no agent is running, run: agent resume"
          : `${outcome.result}: ${outcome.message}`
      ].join("\n")
      yield* Output.result(output, text, {})
      yield* showHeld(output)
    })
).pipe(Command.withDescription("Show a live update: its time line, how it ended, and what is held unfinished"))

/**
 * @since 0.1.0
 * @category commands
 */
export const commands = [upgrade, resume, status] as const
