import { assert, describe, it } from "@effect/vitest"
import type { Browser as Chromium, Page } from "playwright-core"
import { afterAll, beforeAll } from "vitest"
import * as Html from "../../src/upgrade/report/Html.ts"
import * as Report from "../../src/upgrade/report/Report.ts"
import * as Svg from "../../src/upgrade/report/Svg.ts"
import { threeVms } from "../report/runs.ts"
import * as Browser from "./Browser.ts"
import * as ReportPage from "./ReportPage.ts"

const report = Report.make("20261127T201520Z-77", threeVms)
const page = { name: "report.html", text: Html.render(report) }

let browser: Chromium
beforeAll(async () => {
  browser = await Browser.launch()
})
afterAll(() => browser?.close())

const assertLegible = async (page: Page, colorScheme: (typeof ReportPage.colorSchemes)[number]): Promise<void> => {
  const colours = await page.evaluate(() => {
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
}

describe("the report of a run with three VMs, in a browser", () => {
  for (const colorScheme of ReportPage.colorSchemes)
    it(`is shown without a complaint, legible in ${colorScheme}`, async () => {
      await using opened = await Browser.open(browser, page, colorScheme)
      await opened.page.screenshot({ path: ReportPage.screenshot(colorScheme), fullPage: true })
      await assertLegible(opened.page, colorScheme)
      assert.deepStrictEqual(opened.complaints, [])
    })

  it("has the figures of the model: in the tables, in what a bar says, in where it lies", async () => {
    await using opened = await Browser.open(browser, page, "light")
    await ReportPage.assertFigures(opened.page, report)
  })

  it("a bar that is pointed at says its figures", async () => {
    await using opened = await Browser.open(browser, page, "dark")
    const bar = opened.page.locator(".bar", { hasText: "web-1: start-vmm" })
    const shown = () => opened.page.locator(".tip:visible").allTextContents()
    assert.deepStrictEqual(await shown(), [])
    await bar.locator("rect").hover()
    assert.deepStrictEqual(await shown(), ["start-vmm · VMM · 2147 ms, from 3120 ms to 5267 ms"])
    assert.strictEqual(await opened.page.locator(".headline:visible").count(), report.vms.length - 1)
    await opened.page.screenshot({ path: ReportPage.screenshot("hover") })
  })

  it("the picture is a file of its own, too", async () => {
    await using opened = await Browser.open(browser, { name: "report.svg", text: Svg.render(report) }, "dark")
    await opened.page.screenshot({ path: ReportPage.screenshot("picture") })
    assert.strictEqual(await opened.page.locator(".bar").count(), ReportPage.barsOf(report).length)
    assert.deepStrictEqual(opened.complaints, [])
  })
})
