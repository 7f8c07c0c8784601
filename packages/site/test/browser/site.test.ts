/**
 * The site as somebody sees it: built anew, served from this machine alone, opened in a headless Chromium.
 */
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { extname, join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { Browser as Chromium } from "playwright-core"
import { afterAll, beforeAll } from "vitest"
import * as Browser from "../../../agent/test/browser/Browser.ts"
import * as Markdown from "../../src/Markdown.ts"
import * as Navigation from "../../src/Navigation.ts"
import * as Repository from "../../src/Repository.ts"
import * as Site from "../../src/Site.ts"

const root = join(import.meta.dirname, "../../../..")
const built = join(root, "docs/build/site")
/** To be looked at. */
const screenshots = join(root, "packages/site/build/screenshots")

const repository = Repository.at(root)
const site = Site.make(repository)

const types: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2"
}

const serve = (): Promise<{ readonly server: Server; readonly origin: string }> =>
  new Promise((resolve) => {
    const server = createServer(({ url = "/" }, response) => {
      const path = join(built, decodeURIComponent(new URL(url, "http://site").pathname))
      const file = existsSync(path) && statSync(path).isDirectory() ? join(path, "index.html") : path
      if (!existsSync(file)) return void response.writeHead(404).end()
      response.writeHead(200, { "content-type": types[extname(file)] ?? "text/plain" }).end(readFileSync(file))
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve({ server, origin: `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}` })
    })
  })

/** Where a page of the repository is. */
const pathOf = (page: string) => (site.link("", page) ?? assert.fail(page)).replace(/\.md$/, ".html")

let browser: Chromium
let server: Server
let origin: string
beforeAll(async () => {
  await promisify(execFile)(process.execPath, ["scripts/run-ts.mjs", "packages/site/src/build.ts"], { cwd: root })
  mkdirSync(screenshots, { recursive: true })
  browser = await Browser.launch()
  const served = await serve()
  server = served.server
  origin = served.origin
}, 300_000)
afterAll(async () => {
  await browser?.close()
  server?.close()
})

const visit = (path: string, colorScheme: "light" | "dark" = "light") =>
  Browser.visit(browser, `${origin}${path}`, {
    colorScheme,
    own: (url) => url.startsWith(`${origin}/`) || url === "data:,"
  })

describe("the site, in a browser", () => {
  it("shows every page, with its title, and asks nobody else for anything", async () => {
    for (const page of Navigation.pages) {
      await using opened = await visit(pathOf(page))
      const title = await opened.page.locator(".vp-doc h1").first().textContent()
      assert.include(title ?? "", Markdown.parse(repository.read(page)).title, page)
      assert.deepStrictEqual(opened.complaints, [], page)
    }
  })

  for (const colorScheme of ["light", "dark"] as const)
    it(`is legible in ${colorScheme}`, async () => {
      for (const page of ["README.md", "docs/install.md", "docs/states.md", "docs/cli.md"]) {
        await using opened = await visit(pathOf(page), colorScheme)
        await opened.page.screenshot({ path: join(screenshots, `${page.replaceAll("/", "-")}-${colorScheme}.png`) })
        const colours = await opened.page.evaluate(() => {
          const clear = "rgba(0, 0, 0, 0)"
          const groundOf = (element: Element | null): string => {
            if (element === null) return getComputedStyle(document.documentElement).backgroundColor
            const { backgroundColor } = getComputedStyle(element)
            return backgroundColor === clear ? groundOf(element.parentElement) : backgroundColor
          }
          const wanted = [
            ".vp-doc h1",
            ".vp-doc p",
            ".vp-doc a:not(.header-anchor)",
            ".vp-doc td",
            ".vp-doc div[class*=language-] code",
            ".state-graph text",
            ".VPSidebarItem .text"
          ]
          return wanted.flatMap((selector) => {
            const element = document.querySelector(selector)
            if (element === null) return []
            const style = getComputedStyle(element)
            const text = element instanceof SVGElement ? style.fill : style.color
            return [{ selector, text, ground: groundOf(element) }]
          })
        })
        assert.isAtLeast(colours.length, 5, page)
        for (const { ground, selector, text } of colours)
          assert.isAtLeast(Browser.contrast(text, ground), 4.5, `${page}: ${selector}: ${text} on ${ground}`)
        const [{ ground } = { ground: "" }] = colours
        assert.strictEqual(
          Browser.contrast(ground, "rgb(0, 0, 0)") > Browser.contrast(ground, "rgb(255, 255, 255)"),
          colorScheme === "light"
        )
        assert.deepStrictEqual(opened.complaints, [])
      }
    })

  it("leads from page to page: sidebar, links, headings, sources, API", async () => {
    await using opened = await visit("/")
    const { page } = opened
    const heading = (text: string) => page.locator(".vp-doc h1", { hasText: text }).waitFor()
    await page.locator(".VPSidebar a", { hasText: "Runbook" }).click()
    await heading("Runbook: a live update of a host")
    await page.locator(".vp-doc a", { hasText: "failures.md" }).first().click()
    await heading("When something fails")
    await page.locator(".vp-doc a", { hasText: "states.md" }).first().click()
    await heading("Phases and states of a live update")
    assert.strictEqual(await page.locator(".state-graph svg").count(), 3)
    await page
      .locator(".state-graph")
      .first()
      .screenshot({ path: join(screenshots, "state-graph.png") })
    await page.goto(`${origin}${pathOf("docs/security.md")}`)
    await page.locator('.vp-doc a[href*="doctor.html#the-checks"]').first().click()
    await page.waitForURL(/doctor\.html#the-checks$/)
    assert.isTrue(await page.locator("#the-checks").isVisible())
    await page.goto(`${origin}${pathOf("docs/install.md")}`)
    await page.locator(".vp-doc a", { hasText: "install.test.ts" }).first().click()
    await heading("install.test.ts")
    await page.locator(".VPNav a", { hasText: "API" }).first().click()
    await page.locator("h1", { hasText: "@liveupdate/sdk" }).waitFor()
    assert.deepStrictEqual(opened.complaints, [])
  })

  it("finds words, without a server", async () => {
    await using opened = await visit("/")
    const { page } = opened
    await page.locator("#local-search button").click()
    await page.locator("#localsearch-input").fill("leave-behind")
    await page.locator(".VPLocalSearchBox .result").first().waitFor()
    await page.screenshot({ path: join(screenshots, "search.png") })
    const found = await page.locator(".VPLocalSearchBox .result").allTextContents()
    assert.isTrue(
      found.some((text) => text.includes("When something fails")),
      found.join("\n")
    )
    assert.deepStrictEqual(opened.complaints, [])
  })
})
