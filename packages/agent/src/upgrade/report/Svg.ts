/**
 * A report as a picture: for the host and every VM a lane for each of those who were at work, a bar for each part, and the blackout
 * shaded.
 *
 * @since 0.1.0
 */
import * as Figures from "./Figures.ts"
import * as Layout from "./Layout.ts"
import { element as el, type Markup, style } from "./Markup.ts"
import { type Bar, type Report, Who } from "./Report.ts"
import * as Style from "./Style.ts"

/** About the width of a character at 11 px; what doesn't fit is said on hover and in the table. */
const CHARACTER = 6.3

/** As much of a name as there is room for; bars and tables have all of it. */
const shortened = (name: string): string => (name.length > 30 ? `${[...name].slice(0, 29).join("")}…` : name)

const seconds = (ms: number): string => `${Math.round(ms) / 1000} s`

const legend = ({ width }: Layout.Layout): ReadonlyArray<Markup> => {
  const x = width - 340
  return [
    ...Who.literals.flatMap((who, index) => [
      el("g", { class: who }, el("rect", { x: x + index * 78, y: 24, width: 12, height: 12, rx: 2 })),
      el("text", { x: x + index * 78 + 18, y: 34, class: "muted" }, Figures.who[who])
    ]),
    el("rect", { x: x + 234, y: 24, width: 22, height: 12, class: "blackout" }),
    el("line", { x1: x + 234, x2: x + 234, y1: 24, y2: 36, class: "edge" }),
    el("line", { x1: x + 256, x2: x + 256, y1: 24, y2: 36, class: "edge" }),
    el("text", { x: x + 264, y: 34, class: "muted" }, "blackout")
  ]
}

const axis = (report: Report, { panels, top, bottom }: Layout.Layout): ReadonlyArray<Markup> =>
  panels.flatMap(({ from, ticks, to, width, x }, index) => {
    const before = to === 0
    const name =
      report.zero === "first-step" ? "from the first step on" : before ? "guests run" : "from the first pause on"
    return [
      el("text", { x, y: top - 28, class: "small muted" }, name),
      ...ticks.flatMap((tick) => {
        const at = x + ((tick - from) / (to - from)) * width
        // The zero belongs to the second panel.
        if (before && tick === 0) return []
        return [
          el("line", { x1: at, x2: at, y1: top - 4, y2: bottom, class: tick === 0 ? "zero" : "grid" }),
          el("text", { x: at, y: top - 10, class: "small muted middle" }, seconds(tick))
        ]
      }),
      // The scales differ from here on.
      ...(index === 0
        ? []
        : [
            el("line", { x1: x - 26, x2: x - 21, y1: top - 9, y2: top - 19, class: "zero" }),
            el("line", { x1: x - 21, x2: x - 16, y1: top - 9, y2: top - 19, class: "zero" })
          ])
    ]
  })

const drawBar = (bar: Bar, lane: Layout.Lane, group: Layout.Group, layout: Layout.Layout, headX: number): Markup => {
  const x = layout.x(bar.begin)
  const width = Math.max(2, layout.x(bar.end) - x)
  const what = Figures.bar(bar)
  const y = lane.y + 3
  return el(
    "g",
    { class: bar.failed === true ? `bar ${bar.who} failed` : `bar ${bar.who}` },
    el("title", {}, `${group.vm ?? "host"}: ${what}`),
    el("rect", { x, y, width, height: Layout.BAR_HEIGHT, rx: Math.min(3, width / 2) }),
    ...(bar.part.length * CHARACTER + 8 <= width
      ? [el("text", { x: x + 5, y: y + 12, class: "small" }, bar.part)]
      : []),
    el("text", { x: headX, y: group.y + 17, class: "tip" }, what)
  )
}

const headline = (report: Report, { blackout, vm }: Layout.Group): string => {
  if (vm === undefined) return ""
  if (blackout === undefined) return "was not paused"
  const { shares } = blackout
  const spent =
    shares === undefined ? [] : Figures.shares.map(([share, name]) => `${name} ${Math.round(shares[share])}`)
  return [`blackout ${Figures.blackout(report, blackout)}`, ...(spent.length === 0 ? [] : [spent.join(" · ")])].join(
    ": "
  )
}

/** Under everything else. */
const drawBlackout = ({ blackout, lanesHeight, lanesY }: Layout.Group, { x }: Layout.Layout): ReadonlyArray<Markup> => {
  if (blackout === undefined) return []
  const begin = x(blackout.begin)
  const end = x(blackout.end ?? Number.POSITIVE_INFINITY)
  const edge = (x: number) => el("line", { x1: x, x2: x, y1: lanesY - 3, y2: lanesY + lanesHeight + 3, class: "edge" })
  return [
    el("rect", { x: begin, y: lanesY - 3, width: end - begin, height: lanesHeight + 6, class: "blackout" }),
    edge(begin),
    ...(blackout.end === undefined ? [] : [edge(end)])
  ]
}

const drawGroup = (report: Report, group: Layout.Group, layout: Layout.Layout): Markup => {
  // Beside the line of the zero.
  const headX = (layout.panels.at(-1)?.x ?? layout.left) + 6
  return el(
    "g",
    { class: "group" },
    el("text", { x: 20, y: group.y + 17, class: "name" }, shortened(group.vm ?? "host")),
    el("text", { x: headX, y: group.y + 17, class: "headline" }, headline(report, group)),
    ...group.lanes.flatMap((lane) => [
      ...(lane.label
        ? [el("text", { x: layout.left - 12, y: lane.y + 15, class: "small muted end" }, Figures.who[lane.who])]
        : []),
      ...lane.bars.map((bar) => drawBar(bar, lane, group, layout, headX))
    ])
  )
}

const nextKernel = ({ nextKernel }: Report, { bottom, top, x }: Layout.Layout): ReadonlyArray<Markup> =>
  nextKernel === undefined
    ? []
    : [
        el("line", { x1: x(nextKernel), x2: x(nextKernel), y1: top, y2: bottom + 6, class: "jump" }),
        el("text", { x: x(nextKernel), y: bottom + 20, class: "small muted middle" }, "the next kernel begins")
      ]

/**
 * What the picture shows, for whoever doesn't see it.
 *
 * @since 0.1.0
 * @category rendering
 */
export const label = (report: Report): string =>
  [
    `Time line of the live update ${report.run}, ${report.result}, kernel ${Figures.kernels(report)}`,
    ...report.vms.map(({ id, blackout }) =>
      blackout === undefined ? `${id} was not paused` : `${id} stood still: ${Figures.blackout(report, blackout)}`
    )
  ].join("; ")

/**
 * The picture as an element: in HTML it needs no name space.
 *
 * @since 0.1.0
 * @category rendering
 */
export const draw = (report: Report, attributes: Readonly<Record<string, string>> = {}): Markup => {
  const layout = Layout.make(report)
  const { height, width } = layout
  return el(
    "svg",
    { ...attributes, class: "picture", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label(report) },
    style(Style.picture),
    el("rect", { width, height, class: "page" }),
    el("text", { x: 20, y: 34, class: "title" }, `Kernel ${Figures.kernels(report)}`),
    el(
      "text",
      { x: 20, y: 54, class: "muted" },
      `${report.result} · run ${report.run}${report.uncertainty > 0 ? ` · clocks joined to ${Figures.uncertainty(report)}` : ""}`
    ),
    ...legend(layout),
    ...layout.groups.flatMap((group) => drawBlackout(group, layout)),
    ...axis(report, layout),
    ...nextKernel(report, layout),
    ...layout.groups.map((group) => drawGroup(report, group, layout))
  )
}

/**
 * A file of its own.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (report: Report): string =>
  draw(report, { xmlns: "http://www.w3.org/2000/svg", width: "1080" }).text
