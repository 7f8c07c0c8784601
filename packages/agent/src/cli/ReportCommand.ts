/**
 * `agent report`: the time line of a live update as a table, a picture, a page, or data.
 *
 * @since 0.1.0
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as RunEvents from "../upgrade/RunEvents.ts"
import * as Html from "../upgrade/report/Html.ts"
import * as Report from "../upgrade/report/Report.ts"
import * as Svg from "../upgrade/report/Svg.ts"
import * as Table from "../upgrade/report/Table.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"
import * as Runs from "./Runs.ts"

/**
 * What a report can be.
 *
 * @since 0.1.0
 * @category rendering
 */
export const formats = {
  table: Table.render,
  json: (report: Report.Report): string => JSON.stringify(Schema.encodeSync(Report.Report)(report)),
  html: Html.render,
  svg: Svg.render
} as const

/**
 * @since 0.1.0
 * @category models
 */
export type Format = keyof typeof formats

/**
 * Writes the report of a run, of the last one unless told, to stdout. Fails with `RunNotFound`.
 *
 * @since 0.1.0
 * @category output
 */
export const show = (run: Option.Option<string>, format: Format, directory?: string) =>
  Effect.gen(function* () {
    const name = yield* Runs.find(run, directory)
    const report = Report.make(name, yield* RunEvents.of(name, directory))
    yield* Output.result("human", formats[format](report), {})
  })

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make(
  "report",
  {
    run: Args.text({ name: "run" }).pipe(
      Args.optional,
      Args.withDescription("a run's name, as agent status shows it; the last one by default")
    ),
    format: Options.choice("format", ["table", "json", "html", "svg"] as ReadonlyArray<Format>).pipe(
      Options.withDefault("table" as Format),
      Options.withDescription(
        "table: text; json: version 1; html: one page that needs nothing else; svg: the picture in it"
      )
    ),
    host: Shared.host
  },
  ({ run, format, host }) =>
    Shared.whereTold(
      host,
      Shared.there(["report", "--format", format, ...(Option.isSome(run) ? [run.value] : [])]),
      show(run, format)
    )
).pipe(
  Command.withDescription(
    "Show where the time of a live update went: for every VM each part across the jump, who was at work, and the blackout"
  )
)
