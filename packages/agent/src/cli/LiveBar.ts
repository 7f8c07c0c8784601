/**
 * The strips of a report on a terminal while the run goes on, below everything else that is said there.
 *
 * The cursor stays visible, and is left below them after every frame: a process that is killed leaves nothing to put right.
 *
 * @since 0.1.0
 */
import { StringDecoder } from "node:string_decoder"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Listener } from "../upgrade/RunLog.ts"
import * as Live from "../upgrade/report/Live.ts"
import type * as Strip from "../upgrade/report/Strip.ts"
import * as Output from "./Output.ts"

/**
 * What is used of a terminal; `process.stderr` is one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Terminal {
  readonly columns: number
  readonly rows: number
  write(chunk: Uint8Array | string, encoding?: Encoding | Written, written?: Written): boolean
}

type Encoding = BufferEncoding
type Written = (error?: Error | null) => void

const isSet = (variable: string | undefined) => variable !== undefined && variable !== ""

/**
 * Only a person at a terminal that can move its cursor sees it, and only if nothing says otherwise.
 *
 * @since 0.1.0
 * @category guards
 */
export const isWanted = (
  format: Output.Format,
  stream: { readonly isTTY?: boolean | undefined },
  environment: Readonly<Record<string, string | undefined>>
): boolean =>
  format === "human" &&
  stream.isTTY === true &&
  !isSet(environment["NO_COLOR"]) &&
  !isSet(environment["CI"]) &&
  isSet(environment["TERM"]) &&
  environment["TERM"] !== "dumb"

/** The terminal's own blue, yellow and green: whoever has chosen them can read them. */
const colours = { kernel: 34, vmm: 33, ours: 32 } as const

const paint: Strip.Paint = (who, text) => `\u001b[${colours[who]}m${text}\u001b[m`

/** Without what `paint` adds. */
const visible = (line: string): number => line.replaceAll(/\p{Cc}\[\d*m/gu, "").length

const CLEAR_TO_END_OF_LINE = "\u001b[K"
const CLEAR_BELOW = "\u001b[J"

const INTERVAL_MS = 100

/** On a slow terminal, such as a serial console, a frame takes long, and guests may stand still meanwhile: drawing gets no more of the time. */
const SHARE = 1 / 20

/** A frame that takes no longer than this is no burden on a blackout. */
const QUICK_MS = 2

/** A picture that can't be drawn is no reason for a live update to fail. */
const ifPossible = (picture: () => ReadonlyArray<string>): ReadonlyArray<string> => {
  try {
    return picture()
  } catch {
    return []
  }
}

/**
 * Shows events below what else is written to the terminal, until the scope ends.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (terminal: Terminal): Effect.Effect<Listener, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
    const write = terminal.write.bind(terminal)
    let heard: Array<Live.Heard> = []
    /** What stands on the terminal, above the cursor. */
    let drawn: ReadonlyArray<string> = []
    /** Lines that wait for the next frame. */
    let waiting: Array<string> = []
    let cost = 0

    // A pseudo-terminal that nobody gave a size has none.
    const columns = () => terminal.columns || 80
    const rows = () => terminal.rows || 24

    /** To the first column of the first line that is drawn. A terminal that became narrower has wrapped what it had. */
    const back = () => {
      const up = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(visible(line) / columns())), 0)
      return up === 0 ? "\r" : `\r\u001b[${up}A`
    }
    /** `text` above, and the lines below it; in one piece, so that no half of it is seen. */
    const put = (text: string, lines: ReadonlyArray<string>, written?: Written) => {
      const above = waiting.map((line) => `${line}\n`).join("") + text
      const same = above === "" && lines.length === drawn.length && drawn.every((line, index) => line === lines[index])
      const before = back()
      waiting = []
      if (same && written === undefined) return
      const cleared = (line: string) => `${line}${CLEAR_TO_END_OF_LINE}\n`
      const kept = above === "" && lines.length === drawn.length && drawn.every((line) => visible(line) < columns())
      const below = lines.map((line, index) => (kept && line === drawn[index] ? "\n" : cleared(line))).join("")
      drawn = lines
      write(`${before}${above === "" ? "" : CLEAR_BELOW}${above}${below}${CLEAR_BELOW}`, written)
    }
    const frame = () => Live.lines(heard, { now: now(), columns: columns() - 1, rows: rows() - 1, paint })
    const draw = () => {
      const began = now()
      put("", ifPossible(frame))
      cost = now() - began
    }
    /** What a run leaves: its picture if it came to its end, else the last one that was drawn. */
    const leave = () => {
      put("", heard.at(-1)?.event.type === "outcome" ? ifPossible(() => Live.last(heard, paint)) : drawn)
      heard = []
      drawn = []
    }

    const decoder = new StringDecoder()
    let unfinished = ""
    /** Takes the place of the terminal's own: whoever writes there needs to know nothing of what stands below. */
    const writeAbove: Terminal["write"] = (chunk, encoding, written) => {
      const callback = typeof encoding === "function" ? encoding : written
      const bytes =
        typeof chunk === "string" ? Buffer.from(chunk, typeof encoding === "string" ? encoding : "utf8") : chunk
      const text = unfinished + decoder.write(Buffer.from(bytes))
      const end = text.lastIndexOf("\n") + 1
      unfinished = text.slice(end)
      put(text.slice(0, end), drawn, callback ?? undefined)
      return true
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        terminal.write = writeAbove
      }),
      () =>
        Effect.sync(() => {
          leave()
          terminal.write = write
          if (unfinished !== "") write(unfinished)
        })
    )
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.zipRight(
          Effect.sync(draw),
          Effect.suspend(() => Clock.sleep(Duration.millis(Math.max(INTERVAL_MS, cost / SHARE))))
        )
      )
    )
    return (event) => {
      if (heard.length > 0 && heard[0]?.event.run !== event.run) leave()
      heard.push({ event, at: now() })
      const line = Output.lineOf(event)
      if (line !== undefined) waiting.push(line)
      if (event.type === "outcome") leave()
      // There may be no next frame on this kernel.
      else if (event.type === "step" && event.step === "jump" && cost <= QUICK_MS) draw()
    }
  })

/**
 * Shows events of a run as they come, as `format` asks for it; to a person at a terminal as strips as well.
 *
 * @since 0.1.0
 * @category constructors
 */
export const listener = (format: Output.Format): Effect.Effect<Listener, never, Scope.Scope> =>
  Effect.suspend(() =>
    isWanted(format, process.stderr, process.env) ? make(process.stderr) : Effect.succeed(Output.eventListener(format))
  )
