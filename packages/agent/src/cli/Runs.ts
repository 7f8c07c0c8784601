/**
 * Which run a command is about.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as RunLog from "../upgrade/RunLog.ts"

const SHOWN = 10

/**
 * There is no such run, or none at all. `known`: those that there are, oldest first.
 *
 * @since 0.1.0
 * @category errors
 */
export class RunNotFound extends Data.TaggedError("RunNotFound")<{
  readonly run: string | undefined
  readonly known: ReadonlyArray<string>
  /** Where they are kept. */
  readonly directory: string
}> {
  override get message(): string {
    if (this.known.length === 0) {
      const none = "No live update was run on this host yet"
      return this.run === undefined
        ? `${none}.`
        : `There is no run ${this.run} in ${this.directory}: ${none.toLowerCase()}.`
    }
    const newest = [...this.known].reverse()
    const more = newest.length > SHOWN ? `, and ${newest.length - SHOWN} older ones (ls ${this.directory})` : ""
    return `There is no run ${this.run} in ${this.directory}. Name one of these: ${newest.slice(0, SHOWN).join(", ")}${more}.`
  }
}

/**
 * The run of that name, or the last one.
 *
 * @since 0.1.0
 * @category operations
 */
export const find = (
  run: Option.Option<string>,
  directory: string = RunLog.defaultDirectory
): Effect.Effect<string, RunNotFound> =>
  Effect.gen(function* () {
    const known = yield* RunLog.list(directory)
    const name = Option.getOrElse(run, () => known.at(-1))
    if (name === undefined || !known.includes(name)) return yield* new RunNotFound({ run: name, known, directory })
    return name
  })
