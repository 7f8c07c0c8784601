/**
 * What long work says of itself: what it is, how far it got, how long it has taken so far.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"

/**
 * One report. `done` and `total` share a unit of the work's choice; `total` may be an estimate and is never below `done`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProgressEvent {
  readonly what: string
  readonly state: "running" | "done" | "failed"
  readonly done?: number | undefined
  readonly total?: number | undefined
  /** A word on what is going on just now. */
  readonly detail?: string | undefined
  /** Milliseconds since this work began. */
  readonly elapsed: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Update {
  readonly done?: number | undefined
  readonly total?: number | undefined
  readonly detail?: string | undefined
}

/**
 * Where reports go. The renderer belongs to the caller.
 *
 * @since 0.1.0
 * @category services
 */
export class Progress extends Context.Tag("@liveupdate/qemu-host/Progress")<
  Progress,
  {
    /** Takes one report; called often, so it must be cheap. */
    readonly report: (event: ProgressEvent) => Effect.Effect<void>
  }
>() {}

/**
 * Runs `work` and reports its beginning, its updates, a sign of life every second, and its end.
 *
 * @since 0.1.0
 * @category combinators
 */
export const track = <A, E, R>(
  what: string,
  work: (update: (update: Update) => Effect.Effect<void>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | Progress> =>
  Effect.gen(function* () {
    const progress = yield* Progress
    const begun = yield* Clock.currentTimeMillis
    const latest = yield* Ref.make<Update>({})
    const report = (state: ProgressEvent["state"]) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const update = yield* Ref.get(latest)
        yield* progress.report({ what, state, ...update, elapsed: now - begun })
      })
    yield* report("running")
    const beat = yield* Effect.fork(Effect.repeat(Effect.delay(report("running"), "1 second"), Schedule.forever))
    return yield* work((update) =>
      Ref.update(latest, (before) => ({ ...before, ...update })).pipe(Effect.zipRight(report("running")))
    ).pipe(
      Effect.onExit((exit) =>
        beat.interruptAsFork(beat.id()).pipe(Effect.zipRight(report(exit._tag === "Success" ? "done" : "failed")))
      )
    )
  })

/**
 * Takes no notice of anything.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSilent: Layer.Layer<Progress> = Layer.succeed(Progress, { report: () => Effect.void })

/**
 * One report as a line of text: `kernel 7.3.4: 812/1500 54 % kernel/fork.o (1 min 12 s)`.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (event: ProgressEvent): string => {
  const seconds = Math.floor(event.elapsed / 1000)
  const time = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  const state = event.state === "running" ? "" : ` ${event.state}`
  if (event.state !== "running" || event.done === undefined)
    return `${event.what}:${state}${event.detail === undefined || event.state !== "running" ? "" : ` ${event.detail}`} (${time})`
  const total = event.total === undefined ? undefined : Math.max(event.total, event.done)
  const share = total === undefined || total === 0 ? "" : `/${total} ${Math.floor((event.done / total) * 100)} %`
  return `${event.what}: ${event.done}${share}${event.detail === undefined ? "" : ` ${event.detail}`} (${time})`
}

/**
 * Writes lines: on a terminal the current work rewrites its line (ten times a second at most), elsewhere a line is written
 * when work begins and ends and every `interval` milliseconds between.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerLines = (options: {
  readonly write: (text: string) => Effect.Effect<void>
  readonly terminal: boolean
  readonly interval?: number
}): Layer.Layer<Progress> =>
  Layer.effect(
    Progress,
    Effect.gen(function* () {
      const interval = options.terminal ? 100 : (options.interval ?? 5000)
      const written = yield* Ref.make(new Map<string, number>())
      return {
        report: (event) =>
          Effect.gen(function* () {
            const now = yield* Clock.currentTimeMillis
            const due = yield* Ref.modify(written, (before) => {
              const last = before.get(event.what)
              if (event.state === "running" && last !== undefined && now - last < interval) return [false, before]
              const after = new Map(before)
              if (event.state === "running") after.set(event.what, now)
              else after.delete(event.what)
              return [true, after]
            })
            if (!due) return
            const text = render(event)
            yield* options.write(
              options.terminal ? `\r\u001b[K${text.slice(0, 118)}${event.state === "running" ? "" : "\n"}` : `${text}\n`
            )
          })
      }
    })
  )
