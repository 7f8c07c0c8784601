/**
 * Where things lie in the picture of a report, in units of its view box.
 *
 * @since 0.1.0
 */
import * as Figures from "./Figures.ts"
import { type Bar, type Blackout, type Report, Who } from "./Report.ts"

/**
 * A stretch of time with a scale of its own: what comes before the first pause takes many times as long as a blackout, and is drawn smaller.
 *
 * @since 0.1.0
 * @category models
 */
export interface Panel {
  /** Milliseconds. */
  readonly from: number
  readonly to: number
  readonly x: number
  readonly width: number
  readonly ticks: ReadonlyArray<number>
}

/**
 * Bars of one `who` that don't overlap; `label` on the first of them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lane {
  readonly who: Who
  readonly label: boolean
  readonly y: number
  readonly bars: ReadonlyArray<Bar>
}

/**
 * The host, or a VM.
 *
 * @since 0.1.0
 * @category models
 */
export interface Group {
  /** `undefined`: the host. */
  readonly vm: string | undefined
  readonly blackout: Blackout | undefined
  readonly y: number
  /** Where the lanes begin, and how high they are together. */
  readonly lanesY: number
  readonly lanesHeight: number
  readonly lanes: ReadonlyArray<Lane>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Layout {
  readonly width: number
  readonly height: number
  /** The left edge of what has a time. */
  readonly left: number
  /** Where the groups begin and end. */
  readonly top: number
  readonly bottom: number
  readonly panels: ReadonlyArray<Panel>
  readonly groups: ReadonlyArray<Group>
  readonly x: (ms: number) => number
}

/**
 * @since 0.1.0
 * @category constants
 */
export const BAR_HEIGHT = 16

const WIDTH = 1080
const LEFT = 76
const RIGHT = 20
const TOP = 112
const FOOT = 34
const GROUP_HEAD = 26
const GROUP_GAP = 16
const LANE_HEIGHT = 22
const PANEL_GAP = 40
/** Of the width, for what comes before the first pause. */
const BEFORE = 0.17

/** Round numbers, as many as fit with room for their labels. */
const ticksOf = (from: number, to: number, width: number): ReadonlyArray<number> => {
  const atLeast = ((to - from) / width) * 90
  const magnitude = 10 ** Math.floor(Math.log10(atLeast))
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((size) => size >= atLeast) ?? atLeast
  const first = Math.ceil(from / step)
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, index) => (first + index) * step)
}

const panel = (from: number, to: number, x: number, width: number): Panel => ({
  from,
  to,
  x,
  width,
  ticks: ticksOf(from, to, width)
})

const panelsOf = (report: Report): ReadonlyArray<Panel> => {
  const begin = Math.min(0, ...[report.host, ...report.vms.map(({ bars }) => bars)].flat().map(({ begin }) => begin))
  const plot = WIDTH - LEFT - RIGHT
  // A little of what comes after, so that the last bar is seen to end.
  const end = Figures.end(report) * 1.01
  if (begin === 0) return [panel(0, end, LEFT, plot)]
  const before = plot * BEFORE
  const x = LEFT + before + PANEL_GAP
  return [panel(begin, 0, LEFT, before), panel(0, end, x, WIDTH - RIGHT - x)]
}

/** Each bar in the first row of its kind that is free. */
const rowsOf = (bars: ReadonlyArray<Bar>): ReadonlyArray<ReadonlyArray<Bar>> => {
  const rows: Array<Array<Bar>> = []
  for (const bar of bars) {
    const row = rows.find((row) => (row.at(-1)?.end ?? bar.begin) <= bar.begin)
    if (row === undefined) rows.push([bar])
    else row.push(bar)
  }
  return rows
}

const lanesOf = (bars: ReadonlyArray<Bar>, y: number): ReadonlyArray<Lane> =>
  Who.literals
    .flatMap((who) =>
      rowsOf(bars.filter((bar) => bar.who === who)).map((bars, index) => ({ who, bars, label: index === 0 }))
    )
    .map((lane, index) => ({ ...lane, y: y + index * LANE_HEIGHT }))

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (report: Report): Layout => {
  const panels = panelsOf(report)
  let y = TOP
  const groups = [
    { vm: undefined, blackout: undefined, bars: report.host },
    ...report.vms.map(({ bars, blackout, id }) => ({ vm: id, blackout, bars }))
  ].map(({ bars, blackout, vm }): Group => {
    const lanesY = y + GROUP_HEAD
    const lanes = lanesOf(bars, lanesY)
    const group = { vm, blackout, y, lanesY, lanesHeight: lanes.length * LANE_HEIGHT, lanes }
    y = lanesY + group.lanesHeight + GROUP_GAP
    return group
  })
  const x = (ms: number): number => {
    const { from, to, x, width } = panels.find(({ to }) => ms < to) ?? panels[panels.length - 1] ?? panel(0, 1, LEFT, 1)
    return x + ((Math.min(ms, to) - from) / (to - from)) * width
  }
  return {
    width: WIDTH,
    height: y + FOOT - GROUP_GAP,
    left: LEFT,
    top: TOP,
    bottom: y - GROUP_GAP + 4,
    panels,
    groups,
    x
  }
}
