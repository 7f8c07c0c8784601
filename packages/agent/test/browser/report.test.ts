import { mkdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import type { Browser as Chromium } from "playwright-core"
import { afterAll, beforeAll } from "vitest"
import * as Figures from "../../src/upgrade/report/Figures.ts"
import * as Html from "../../src/upgrade/report/Html.ts"
import * as Report from "../../src/upgrade/report/Report.ts"
import * as Svg from "../../src/upgrade/report/Svg.ts"
import { threeVms } from "../report/runs.ts"
import * as Browser from "./Browser.ts"

const report = Report.make("20261127T201520Z-77", threeVms)
const page = { name: "report.html", text: Html.render(report) }

/** Every bar with its owner, in the order of the tables. */
const bars = [
  ...report.host.map((bar) => ({ owner: "host", bar })),
  ...report.vms.flatMap(({ bars, id }) => bars.map((bar) => ({ owner: id, bar })))
]

const colorSchemes = ["light", "dark"] as const

/** To be looked at. */
const screenshots = fileURLToPath(new URL("../../build/report/", import.meta.url))

let browser: Chromium
beforeAll(async () => {
  browser = await Browser.launch()
  mkdirSync(screenshots, { recursive: true })
})
afterAll(() => browser?.close())

describe("the report of a run with three VMs, in a browser", () => {
  for (const colorScheme of colorSchemes)
    it(`is shown without a complaint, legible in ${colorScheme}`, async () => {
      await using opened = await Browser.open(browser, page, colorScheme)
      await opened.page.screenshot({ path: `${screenshots}${colorScheme}.png`, fullPage: true })
      const colours = await opened.page.evaluate(() => {
        const style = (selector: string, property: string) => {
          const found = document.querySelector(selector)
          return found === null ? `no ${selector}` : getComputedStyle(found).getPropertyValue(property)
        }
        const picture = style(".picture .page", "fill")
        return [
          ["page", style("body", "color"), style("body", "background-color")],
          ["picture", style(".picture .headline", "fill"), picture],
          ["muted", style(".picture text.muted", "fill"), picture],
          ...["kernel", "vmm", "ours"].map((who) => [
            who,
            style(`.picture .bar.${who} text.small`, "fill"),
            style(`.picture .bar.${who} rect`, "fill")
          ])
        ]
      })
      for (const [what = "", text = "", ground = ""] of colours)
        assert.isAtLeast(Browser.contrast(text, ground), 4.5, `${what}: ${text} on ${ground}`)
      const [[, , ground = ""] = []] = colours
      assert.strictEqual(
        Browser.contrast(ground, "rgb(0, 0, 0)") > Browser.contrast(ground, "rgb(255, 255, 255)"),
        colorScheme === "light"
      )
      assert.deepStrictEqual(opened.complaints, [])
    })

  it("has the figures of the model: in the tables, in what a bar says, in where it lies", async () => {
    await using opened = await Browser.open(browser, page, "light")
    const cells = (table: string) =>
      opened.page
        .locator(`${table} tbody tr`)
        .evaluateAll((rows) =>
          rows.map((row) => [...row.querySelectorAll("td, th[scope=row]")].map((cell) => cell.textContent))
        )
    assert.deepStrictEqual(
      await cells("#blackouts"),
      report.vms.map(({ blackout, id }) => [
        id,
        blackout === undefined ? "" : Figures.blackout(report, blackout),
        ...Figures.shares.map(([share]) => Figures.ms(blackout?.shares?.[share] ?? Number.NaN))
      ])
    )
    assert.deepStrictEqual(
      await cells("#parts"),
      bars.map(({ bar: { begin, end, part, who } }) => [
        part,
        Figures.who[who],
        ...[begin, end, end - begin].map(Figures.ms)
      ])
    )
    const drawn = await opened.page.locator(".bar").evaluateAll((groups) =>
      groups.map((group) => {
        const box = group.querySelector("rect")?.getBoundingClientRect()
        return { title: group.querySelector("title")?.textContent, left: box?.left ?? 0, right: box?.right ?? 0 }
      })
    )
    const boxes = new Map(drawn.map(({ title, ...box }) => [title, box]))
    assert.strictEqual(boxes.size, bars.length)
    const boxOf = (title: string) => boxes.get(title) ?? assert.fail(`no bar says: ${title}`)
    // From the pause on there is one scale for all.
    const after = bars.filter(({ bar }) => bar.begin >= 0)
    const leftOf = (one: (typeof bars)[number] = assert.fail("no bar")) => ({
      ms: one.bar.begin,
      x: boxOf(`${one.owner}: ${Figures.bar(one.bar)}`).left
    })
    const [first, last] = [leftOf(after.at(0)), leftOf(after.at(-1))]
    const perMs = (last.x - first.x) / (last.ms - first.ms)
    for (const { bar, owner } of after) {
      const { left, right } = boxOf(`${owner}: ${Figures.bar(bar)}`)
      assert.closeTo(left, first.x + (bar.begin - first.ms) * perMs, 0.1, `${owner} ${bar.part}`)
      // None is too short to be seen.
      assert.closeTo(right - left, Math.max(2, (bar.end - bar.begin) * perMs), 0.2, `${owner} ${bar.part}`)
    }
  })

  it("a bar that is pointed at says its figures", async () => {
    await using opened = await Browser.open(browser, page, "dark")
    const bar = opened.page.locator(".bar", { hasText: "web-1: start-vmm" })
    const shown = () => opened.page.locator(".tip:visible").allTextContents()
    assert.deepStrictEqual(await shown(), [])
    await bar.locator("rect").hover()
    assert.deepStrictEqual(await shown(), ["start-vmm · VMM · 2147 ms, from 3120 ms to 5267 ms"])
    assert.strictEqual(await opened.page.locator(".headline:visible").count(), report.vms.length - 1)
    await opened.page.screenshot({ path: `${screenshots}hover.png` })
  })

  it("the picture is a file of its own, too", async () => {
    await using opened = await Browser.open(browser, { name: "report.svg", text: Svg.render(report) }, "dark")
    await opened.page.screenshot({ path: `${screenshots}picture.png` })
    assert.strictEqual(await opened.page.locator(".bar").count(), bars.length)
    assert.deepStrictEqual(opened.complaints, [])
  })
})
