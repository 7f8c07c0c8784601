/** What a report's page has to show, held against the report itself. */
import { mkdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import type { Page } from "playwright-core"
import * as Figures from "../../src/upgrade/report/Figures.ts"
import type * as Report from "../../src/upgrade/report/Report.ts"

export const colorSchemes = ["light", "dark"] as const

const build = fileURLToPath(new URL("../../build/report/", import.meta.url))

/** Where a picture goes that is to be looked at. */
export const screenshot = (name: string): string => {
  mkdirSync(build, { recursive: true })
  return `${build}${name}.png`
}

/** Every bar with its owner, in the order of the tables. */
export const barsOf = ({ host, vms }: Report.Report) => [
  ...host.map((bar) => ({ owner: "host", bar })),
  ...vms.flatMap(({ bars, id }) => bars.map((bar) => ({ owner: id, bar })))
]

/** The cells of a table's body, row by row. */
export const cells = (page: Page, table: string) =>
  page
    .locator(`${table} tbody tr`)
    .evaluateAll((rows) =>
      rows.map((row) => [...row.querySelectorAll("td, th[scope=row]")].map((cell) => cell.textContent))
    )

/** All of the report's figures, and no others: in the tables, in what a bar says, in where it lies. */
export const assertFigures = async (page: Page, report: Report.Report): Promise<void> => {
  const bars = barsOf(report)
  assert.deepStrictEqual(
    await cells(page, "#blackouts"),
    report.vms.map(({ blackout, id }) => [
      id,
      blackout === undefined ? "" : Figures.blackout(report, blackout),
      ...Figures.shares.map(([share]) => Figures.ms(blackout?.shares?.[share] ?? Number.NaN))
    ])
  )
  assert.deepStrictEqual(
    await cells(page, "#parts"),
    bars.map(({ bar: { begin, end, part, who } }) => [
      part,
      Figures.who[who],
      ...[begin, end, end - begin].map(Figures.ms)
    ])
  )
  const drawn = await page.locator(".bar").evaluateAll((groups) =>
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
}
