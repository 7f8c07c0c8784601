/**
 * A report as one HTML file that needs nothing else: no script, no font, no address.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as Figures from "./Figures.ts"
import { element as el, empty, type Markup, style } from "./Markup.ts"
import type { Bar, Report } from "./Report.ts"
import * as Style from "./Style.ts"
import * as Svg from "./Svg.ts"

const hashOf = (css: string) => `'sha256-${createHash("sha256").update(css).digest("base64")}'`

/** Nothing may be loaded or run, and only these two style sheets hold. */
const policy = `default-src 'none'; style-src ${hashOf(Style.page)} ${hashOf(Style.picture)}; base-uri 'none'; form-action 'none'`

const column = (text: string, left = false) => el("th", { scope: "col", class: left ? "text" : undefined }, text)

const cell = (text: string) => el("td", {}, text)

const blackouts = (report: Report): ReadonlyArray<Markup> => {
  const paused = report.vms.filter(({ blackout }) => blackout !== undefined)
  if (paused.length === 0) return []
  return [
    el("h2", {}, "How long the guests stood still, and who spent it"),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { id: "blackouts" },
        el(
          "thead",
          {},
          el("tr", {}, column("VM", true), column("blackout"), ...Figures.shares.map(([, name]) => column(name)))
        ),
        el(
          "tbody",
          {},
          ...paused.map(({ id, blackout }) =>
            el(
              "tr",
              {},
              el("th", { scope: "row", class: "text" }, id),
              cell(blackout === undefined ? "" : Figures.blackout(report, blackout)),
              ...Figures.shares.map(([share]) =>
                cell(blackout?.shares === undefined ? "" : Figures.ms(blackout.shares[share]))
              )
            )
          )
        )
      )
    )
  ]
}

const rowsOf = (name: string, bars: ReadonlyArray<Bar>): ReadonlyArray<Markup> =>
  bars.length === 0
    ? []
    : [
        el(
          "tbody",
          { class: "vm" },
          ...bars.map((bar, index) =>
            el(
              "tr",
              {},
              ...(index === 0 ? [el("th", { scope: "rowgroup", rowspan: bars.length, class: "text" }, name)] : []),
              el("th", { scope: "row", class: bar.failed === true ? "text failed" : "text" }, Figures.part(bar)),
              el("td", { class: "text" }, el("span", { class: `swatch ${bar.who}` }), Figures.who[bar.who]),
              cell(Figures.ms(bar.begin)),
              cell(Figures.ms(bar.end)),
              cell(Figures.ms(bar.end - bar.begin))
            )
          )
        )
      ]

const parts = (report: Report): ReadonlyArray<Markup> => [
  el("h2", {}, "Every part"),
  el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { id: "parts" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          column("", true),
          column("part", true),
          column("who", true),
          column("begin"),
          column("end"),
          column("duration")
        )
      ),
      ...rowsOf("host", report.host),
      ...report.vms.flatMap(({ bars, id }) => rowsOf(id, bars))
    )
  )
]

const explanation = (report: Report): string =>
  report.zero === "pause"
    ? "Times count from the moment the first VM began to pause. Point at a bar for its figures. What lies before the pause has a scale of its own: the guests ran."
    : "No VM was paused. Times count from the first step. Point at a bar for its figures."

/**
 * @since 0.1.0
 * @category rendering
 */
export const render = (report: Report): string => {
  const title = `Live update ${report.run}`
  const head = el(
    "head",
    {},
    empty("meta", { charset: "utf-8" }),
    empty("meta", { "http-equiv": "Content-Security-Policy", content: policy }),
    empty("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
    el("title", {}, title),
    style(Style.page)
  )
  const body = el(
    "body",
    {},
    el(
      "main",
      {},
      el("h1", {}, title),
      el("p", {}, report.message),
      el("p", { class: "muted" }, explanation(report)),
      el("figure", {}, Svg.draw(report)),
      ...blackouts(report),
      ...parts(report)
    )
  )
  return `<!doctype html>\n${el("html", { lang: "en" }, head, body).text}`
}
