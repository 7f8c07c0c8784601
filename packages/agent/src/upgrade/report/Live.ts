/**
 * The strips of a report while its run goes on, as lines for a terminal.
 *
 * @since 0.1.0
 */
import type { Event } from "../Event.ts"
import * as Measured from "../Measured.ts"
import * as StepEvents from "../StepEvents.ts"
import * as TimeAxis from "../TimeAxis.ts"
import * as Figures from "./Figures.ts"
import * as Report from "./Report.ts"
import * as Strip from "./Strip.ts"
import * as Table from "./Table.ts"

/**
 * An event, and when whoever watches has heard of it: in milliseconds of a clock of his own, which goes on across the jump.
 *
 * @since 0.1.0
 * @category models
 */
export interface Heard {
  readonly event: Event
  readonly at: number
}

/**
 * Where it is drawn, and when: `now` is on the clock of `Heard`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Frame {
  readonly now: number
  readonly columns: number
  readonly rows: number
  readonly paint?: Strip.Paint
}

/**
 * Offsets of boots that have not said theirs: the second half joins the clocks when the guests run. An event is heard of after it
 * happened, so of all that a boot has said the one that is heard of soonest places it best.
 */
const guessedClocks = (heard: ReadonlyArray<Heard>): ReadonlyArray<Event> => {
  const axis = TimeAxis.make(heard.map(({ event }) => event))
  const ahead = Math.max(
    ...heard.flatMap(({ event, at }) => {
      const time = axis.at(event)
      return time === undefined ? [] : [time - at]
    })
  )
  if (!Number.isFinite(ahead)) return []
  const guesses = new Map<string, Extract<Event, { type: "clock" }>>()
  for (const { event, at } of heard) {
    if (axis.at(event) !== undefined) continue
    const { boot, monotonic, run, version } = event
    const offset = Math.min(at + ahead - monotonic, guesses.get(boot)?.offset ?? Number.POSITIVE_INFINITY)
    guesses.set(boot, { version, run, boot, monotonic, type: "clock", offset, uncertainty: 0 })
  }
  return [...guesses.values()]
}

/** The last beginning of each step that has not ended. */
const unended = (steps: ReadonlyArray<StepEvents.StepEvent>): ReadonlyArray<StepEvents.StepEvent> => {
  const begun = new Map<string, StepEvents.StepEvent>()
  for (const event of steps) {
    const key = JSON.stringify([event.step, event.vm])
    if (event.status === "started") begun.set(key, event)
    else begun.delete(key)
  }
  return [...begun.values()]
}

interface Seen {
  readonly report: Report.Report
  /** On the report's axis. */
  readonly now: number
  /** Steps that are being done. */
  readonly doing: ReadonlyArray<StepEvents.StepEvent>
}

/** The report of a run so far: what is being done is done until now, and no step is left behind on a kernel that has gone. */
const see = (heard: ReadonlyArray<Heard>, viewed: number): Seen => {
  const events = [...heard.map(({ event }) => event), ...guessedClocks(heard)]
  const { at } = Measured.measure(events)
  const now = Math.max(
    0,
    ...heard.flatMap(({ event, at: heardAt }) => {
      const time = at(event)
      return time === undefined ? [] : [time + viewed - heardAt]
    })
  )
  const boot = heard.at(-1)?.event.boot
  const begun = unended(events.filter(StepEvents.isStep))
  const doing = begun.filter((event) => event.boot === boot)
  // The old kernel's part ends, as far as is known before its end is told, with the first word of the next.
  const jump = begun.find((event) => event.step === "jump" && event.boot !== boot)
  const arrived = Math.min(...events.flatMap((event) => (event.boot === boot ? (at(event) ?? []) : [])))
  const until = (event: StepEvents.StepEvent, end: number): ReadonlyArray<Event> => {
    const begin = at(event)
    return begin === undefined ? [] : [{ ...event, status: "done", monotonic: event.monotonic + end - begin }]
  }
  const ends = [
    // A guest that is about to run doesn't yet.
    ...doing.filter(({ step }) => step !== "resume").flatMap((event) => until(event, now)),
    ...(jump === undefined || !Number.isFinite(arrived) ? [] : until(jump, arrived))
  ]
  return { report: Report.make(heard[0]?.event.run ?? "", [...events, ...ends]), now, doing }
}

const steps = [1, 2, 3, 5, 8]

/** A round length of time in seconds, so that what is drawn stays in its place for as long as it can. */
const lengthOf = (seconds: number): number => {
  const magnitude = 10 ** Math.floor(Math.log10(Math.max(1, seconds)))
  return (steps.find((step) => step * magnitude >= seconds) ?? 10) * magnitude
}

const cut = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`.slice(0, width)

const NAME = 20
const FIGURE = 9
const DOING = 18
const LEAST_STRIP = 10
const GAP = "  "

/** How wide the strips may be, when every line has to fit. */
const stripWidth = (columns: number, name: number): number => {
  const room = columns - name - FIGURE - DOING - 3 * GAP.length
  return room < LEAST_STRIP ? 0 : Math.min(Table.STRIP_WIDTH, room)
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const stepOf = (doing: Seen["doing"], vm: string | undefined): string | undefined =>
  doing.findLast((event) => event.vm === vm)?.step

const title = ({ doing, now, report }: Seen): string => {
  const step = stepOf(doing, undefined)
  const since = report.zero === "pause" ? `From the first pause on, ${seconds(now)}` : `The guests run, ${seconds(now)}`
  return step === undefined ? since : `${since}: ${step}`
}

/**
 * What a run looks like now: a line of what the host is at, a strip for each VM, what the strips mean. No line is longer than `columns`, and
 * there are no more than `rows` of them.
 *
 * @since 0.1.0
 * @category rendering
 */
export const lines = (heard: ReadonlyArray<Heard>, { columns, now, paint, rows }: Frame): ReadonlyArray<string> => {
  if (heard.length === 0) return []
  const seen = see(heard, now)
  const { report } = seen
  const paused = report.zero === "pause"
  const legend = Strip.legend()
  const room = Math.max(0, rows - 2)
  const shown = report.vms.length <= room ? report.vms : report.vms.slice(0, Math.max(0, room - 1))
  const name = Math.min(NAME, Math.max(0, ...shown.map(({ id }) => Table.printable(id).length)))
  const width = paused ? stripWidth(columns, name) : 0
  const length = lengthOf(seen.now / 1000)
  const row = ({ bars, blackout, id }: Report.Vm): string => {
    const ended = blackout?.end
    const stoodStill = blackout === undefined ? "" : Figures.ms((ended ?? seen.now) - blackout.begin)
    const waits = blackout !== undefined && ended === undefined
    const doing = stepOf(seen.doing, id) ?? (waits ? (stepOf(seen.doing, undefined) ?? "waits") : "runs")
    const before = cut(Table.printable(id), name).padEnd(name)
    if (width === 0) return cut([before, ...(stoodStill === "" ? [] : [stoodStill]), doing].join(GAP), columns)
    const after = [stoodStill.padStart(FIGURE), doing].join(GAP)
    const drawn =
      blackout === undefined ? { id, bars } : { id, bars, blackout: { ...blackout, end: ended ?? seen.now } }
    return [before, Strip.render(Strip.cells(drawn, length * 1000, width), paint), after].join(GAP).trimEnd()
  }
  const rest = report.vms.length - shown.length
  return [
    cut(title(seen), columns),
    ...shown.map(row),
    ...(rest > 0 ? [cut(`and ${rest} more`, columns)] : []),
    ...(width === 0
      ? []
      : legend.length + 24 <= columns
        ? [`${Strip.legend(paint)}${GAP}a strip is ${length} s long`]
        : [cut(legend, columns)])
  ].slice(0, Math.max(0, rows))
}

/**
 * What stays on the terminal when the run has ended: the strips of `agent report`, and the blackouts with who spent them.
 *
 * @since 0.1.0
 * @category rendering
 */
export const last = (heard: ReadonlyArray<Heard>, paint?: Strip.Paint): ReadonlyArray<string> =>
  Table.picture(
    Report.make(
      heard[0]?.event.run ?? "",
      heard.map(({ event }) => event)
    ),
    paint
  )
