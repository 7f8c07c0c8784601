/**
 * The log of one run: every event in order, appended to a file that both halves of the run share, and shown to whoever
 * listens.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Event, Step } from "./Event.ts"
import type * as Hooks from "./Hooks.ts"
import * as HostClock from "./HostClock.ts"
import * as HostFacts from "./HostFacts.ts"

/**
 * Where runs are kept; on a disk, as they outlive kernels.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultDirectory = "/var/lib/liveupdate/runs"

/**
 * Shows an event as it happens, such as on a terminal.
 *
 * @since 0.1.0
 * @category models
 */
export type Listener = (event: Event) => void

type Distributed<T> = T extends unknown ? Omit<T, "version" | "run" | "boot" | "monotonic"> : never

/**
 * What a caller says; the log adds version, run, boot and time.
 *
 * @since 0.1.0
 * @category models
 */
export type Entry = Distributed<Event>

/**
 * @since 0.1.0
 * @category models
 */
export interface RunLog {
  readonly run: string
  /** `at`: milliseconds of CLOCK_MONOTONIC, when it isn't now. */
  readonly emit: (entry: Entry, at?: number) => Effect.Effect<void>
  /** Emits that the step started, and how it ended. */
  readonly step: <A>(
    step: Step,
    about?: {
      readonly vm?: string
      /** When it began, if not now; milliseconds of CLOCK_MONOTONIC. */
      readonly since?: number | undefined
      /** What the step's result has to say to a reader of the log. */
      readonly describe?: (value: A) => Readonly<Record<string, unknown>>
    }
  ) => <E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The step `hook`, if there is one of that name. */
  readonly hook: (
    name: Hooks.Name,
    hooks: Hooks.Hooks,
    vm?: string
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Returns when everything that was emitted is on the disk. */
  readonly flush: Effect.Effect<void>
}

/**
 * Where the events of a run are: one JSON object a line, appended to.
 *
 * @since 0.1.0
 * @category accessors
 */
export const fileOf = (run: string, directory: string = defaultDirectory): string =>
  Path.join(directory, run, "events.ndjson")

/** A whole line or none: half of one would take the next with it. */
const append = (file: number, line: string): void => {
  const bytes = Buffer.from(line)
  const written = Fs.writeSync(file, bytes)
  if (written === bytes.length) return
  Fs.ftruncateSync(file, Fs.fstatSync(file).size - written)
  throw new Error("ENOSPC: no room for a whole line")
}

/** To be appended to. A power cut may have left half a line, which would take the next with it: it gets its end. */
const openToAppend = (path: string): number => {
  Fs.mkdirSync(Path.dirname(path), { recursive: true, mode: 0o700 })
  const file = Fs.openSync(path, "a+", 0o600)
  const { size } = Fs.fstatSync(file)
  const last = Buffer.alloc(1)
  if (size > 0 && Fs.readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a) Fs.writeSync(file, "\n")
  return file
}

/**
 * Opens the log of a run, new or continued. A disk that can't be written doesn't stop a run that is past the jump: events
 * still reach the listener.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = (options: {
  readonly run: string
  readonly directory?: string
  readonly listener?: Listener
}): Effect.Effect<RunLog, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { run, directory = defaultDirectory, listener } = options
    const boot = yield* HostFacts.bootId
    // Opened with the first event: a run that is refused leaves nothing behind.
    let file: number | "none" | undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => typeof file === "number" && Fs.closeSync(file)))
    const write = (line: string) => {
      try {
        file ??= openToAppend(fileOf(run, directory))
        if (typeof file === "number") append(file, line)
        return undefined
      } catch (error) {
        file ??= "none"
        return error
      }
    }

    const emit: RunLog["emit"] = (entry, at) =>
      Effect.gen(function* () {
        const monotonic = at ?? (yield* HostClock.monotonic)
        const event = { version: 1, run, boot, monotonic: Math.round(monotonic * 1000) / 1000, ...entry } as const
        const problem = write(`${JSON.stringify(event)}\n`)
        if (problem !== undefined) yield* Effect.logError("the run's log can't be written", reasonOf(problem))
        yield* Effect.sync(() => listener?.(event))
      })

    const step: RunLog["step"] = (name, options) => (effect) => {
      const about = { type: "step", step: name, ...(options?.vm === undefined ? {} : { vm: options.vm }) } as const
      return Effect.zipRight(
        emit({ ...about, status: "started" }, options?.since),
        Effect.tapBoth(effect, {
          onSuccess: (value) =>
            emit({
              ...about,
              status: "done",
              ...(options?.describe === undefined ? {} : { detail: options.describe(value) })
            }),
          onFailure: (error) => emit({ ...about, status: "failed", detail: failureOf(error) })
        })
      )
    }

    const flush = Effect.try(() => typeof file === "number" && Fs.fdatasyncSync(file)).pipe(
      Effect.catchAll((error) => Effect.logError("the run's log can't be synced", error)),
      Effect.asVoid
    )
    const hook: RunLog["hook"] =
      (name, hooks, vm) =>
      <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        hooks[name] === undefined
          ? effect
          : step<A>("hook", { ...(vm === undefined ? {} : { vm }), describe: () => ({ hook: name }) })(effect)
    return { run, emit, step, hook, flush }
  })

/**
 * What an error says of itself.
 *
 * @since 0.1.0
 * @category accessors
 */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/**
 * What an event tells of an error: what a person is told, and the fields by which a program counts it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const failureOf = (error: unknown): Readonly<Record<string, string>> => {
  const fields: Readonly<Record<string, unknown>> = typeof error === "object" && error !== null ? { ...error } : {}
  const text = (name: string, ...values: ReadonlyArray<unknown>): Readonly<Record<string, string>> => {
    const value = values.find((value) => typeof value === "string")
    return typeof value === "string" ? { [name]: value } : {}
  }
  return {
    reason: reasonOf(error),
    ...text("error", fields["_tag"]),
    ...text("operation", fields["operation"]),
    // The SDK says `errno`, what reads files and sockets `code`: both are the kernel's name for it.
    ...text("errno", fields["errno"], fields["code"])
  }
}

/**
 * All runs, oldest first: their names sort by time.
 *
 * @since 0.1.0
 * @category operations
 */
export const list = (directory: string = defaultDirectory): Effect.Effect<ReadonlyArray<string>> =>
  Effect.sync(() => (Fs.existsSync(directory) ? Fs.readdirSync(directory).sort() : []))

/**
 * The lines of a run's log from a byte offset on, and where the next read begins; a line without its end is left for then.
 *
 * @since 0.1.0
 * @category operations
 */
export const readFrom = (
  run: string,
  offset: number,
  directory: string = defaultDirectory
): Effect.Effect<{ readonly lines: ReadonlyArray<string>; readonly next: number }> =>
  Effect.sync(() => {
    const path = fileOf(run, directory)
    if (!Fs.existsSync(path)) return { lines: [], next: offset }
    const bytes = Fs.readFileSync(path).subarray(offset)
    const end = bytes.lastIndexOf(0x0a) + 1
    return {
      lines: bytes
        .toString("utf8", 0, end)
        .split("\n")
        .filter((line) => line !== ""),
      next: offset + end
    }
  })
