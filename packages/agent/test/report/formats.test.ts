import { assert, describe, it } from "@effect/vitest"
import * as Html from "../../src/upgrade/report/Html.ts"
import * as Report from "../../src/upgrade/report/Report.ts"
import * as Strip from "../../src/upgrade/report/Strip.ts"
import * as Svg from "../../src/upgrade/report/Svg.ts"
import * as Table from "../../src/upgrade/report/Table.ts"
import { begun, cutShort, lost, rolledBack, threeVms } from "./runs.ts"

const whole = Report.make("20261127T201520Z-77", threeVms)
const others = [rolledBack(), cutShort, lost, begun, []].map((events) => Report.make("r", events))

const hostile = Report.make(
  `r"><script>alert(1)</script>`,
  rolledBack(`<img src=x onerror='alert(1)'>&\u0000\u001b[2J`, `</style></title><script>alert("2")</script>`)
)

const occurrences = (text: string, what: RegExp) => [...text.matchAll(what)].length

describe("a report as a page", () => {
  const page = Html.render(whole)

  it("has the figures of every bar, in the picture and in the table", () => {
    const bars = [...whole.host, ...whole.vms.flatMap(({ bars }) => bars)]
    assert.strictEqual(occurrences(page, /<g class="bar /g), bars.length)
    assert.strictEqual(occurrences(page, /<th scope="row" class="text">/g), bars.length + whole.vms.length)
    assert.include(page, "<title>web-1: save-state · VMM · 692 ms, from 254 ms to 946 ms</title>")
    assert.include(page, "<title>host: kernel-boot · kernel · 1191 ms, from 1822 ms to 3012 ms</title>")
    assert.include(page, "<td>5713 ms (±23 ms)</td><td>1359 ms</td><td>2147 ms</td>")
    assert.include(page, "web-1 stood still: 5713 ms (±23 ms)")
  })

  it("is one file: it loads nothing and runs nothing", () => {
    for (const report of [whole, ...others]) {
      const text = Html.render(report)
      assert.notMatch(text, /https?:|\/\/[a-z]|<script|<link|<iframe|<object|@import|url\(/i)
      assert.notMatch(text, /<[^>]*\s(src|href|style|on\w+)=/i)
      assert.include(text, "default-src &#39;none&#39;")
    }
  })

  it("is made for dark and light, and says what it shows to whoever doesn't see it", () => {
    assert.include(page, "@media (prefers-color-scheme: dark)")
    assert.include(page, "color-scheme: light dark")
    assert.match(page, /<svg [^>]*role="img" aria-label="Time line of the live update 20261127T201520Z-77, upgraded/)
  })
})

describe("what comes from a run's log", () => {
  it("is text in a page and in a picture", () => {
    for (const text of [Html.render(hostile), Svg.render(hostile)]) {
      assert.notInclude(text, "<script")
      assert.notInclude(text, "<img")
      assert.include(text, "&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&amp;\u{fffd}\u{fffd}[2J")
      assert.strictEqual(occurrences(text, /<\/style>/g), occurrences(text, /<style>/g))
    }
  })

  it("moves no terminal's cursor", () => {
    const text = Table.render(hostile)
    assert.notMatch(text, /[^\P{Cc}\n]/u)
    assert.include(text, `<img src=x onerror='alert(1)'>& [2J`)
  })
})

describe("a report as a picture", () => {
  it("names its name space and nothing else outside", () => {
    for (const report of [whole, ...others]) {
      const picture = Svg.render(report)
      assert.match(picture, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /)
      assert.strictEqual(occurrences(picture, /https?:/g), 1)
      assert.notMatch(picture, /NaN|Infinity|undefined/)
    }
  })

  it("shades a blackout without an end to the edge, and marks what failed", () => {
    assert.include(Svg.render(Report.make("r", cutShort)), "blackout stands still, or its end is not known")
    assert.include(Svg.render(Report.make("r", lost)), "blackout without an end: the guest is lost")
    assert.include(Svg.render(Report.make("r", rolledBack())), `<g class="bar vmm failed"><title>a: save-state`)
  })
})

describe("a report as text", () => {
  it("a strip for each VM, its shares, every part", () => {
    const lines = Table.render(whole).split("\n")
    assert.deepStrictEqual(lines.slice(0, 9), [
      "Run 20261127T201520Z-77: upgraded",
      "The host went from 7.3.4-host-a to 7.3.4-host-b; 3 VM(s) run on",
      "Kernel 7.3.4-host-a → 7.3.4-host-b",
      "",
      "From the first pause on, 6028 ms:",
      "web-1    ░░▓▓▓▓▓▓░░░░░███████████░▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░",
      "db-1     ░░▓▓▓▓▓▓▓░░░░███████████░▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓",
      "cache-1  ░░▓▓▓▓▓▓░░░░░███████████░░▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░",
      "█ kernel  ▓ VMM  ░ ours"
    ])
    assert.include(lines, "web-1    5713 ms (±23 ms)  1359 ms    2147 ms      692 ms      282 ms  1232 ms")
    assert.include(lines, "VM web-1    save-state        VMM        254 ms     946 ms    692 ms")
  })

  it("without a blackout only what was done", () => {
    const text = Table.render(Report.make("r", begun))
    assert.notInclude(text, Strip.characters.ours)
    assert.match(text, /host +load-kernel +ours +100 ms +200 ms +100 ms$/)
  })
})
