import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { type Browser, chromium, type Page } from "playwright-core"

/** Where Debian's packages chromium-headless-shell and chromium have it. */
const installed = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"]

const executable = (): string => {
  const path = process.env["LIVEUPDATE_CHROMIUM"] ?? installed.find((path) => existsSync(path))
  if (path !== undefined && existsSync(path)) return path
  throw new Error(
    `There is no Chromium at ${path ?? installed.join(" or ")}. ` +
      "Get it with `node scripts/setup.mjs --browser` (Debian: apt-get install chromium-headless-shell), or set LIVEUPDATE_CHROMIUM to one."
  )
}

/** WCAG's contrast of two colours as the browser computes them: rgb(…). */
export const contrast = (one: string, other: string): number => {
  const luminance = (color: string) => {
    const [red = 0, green = 0, blue = 0] = (color.match(/[\d.]+/g) ?? []).map((part) => {
      const share = Number(part) / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const [dark = 0, bright = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (bright + 0.05) / (dark + 0.05)
}

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: executable() })

export interface Opened extends AsyncDisposable {
  readonly page: Page
  /** What the browser had to say, and what it asked for beside the page itself. */
  readonly complaints: ReadonlyArray<string>
}

/** Opens an address; `own` are those that it may ask for. */
export const visit = async (
  browser: Browser,
  url: string,
  options: { readonly colorScheme: "light" | "dark"; readonly own: (url: string) => boolean }
): Promise<Opened> => {
  const page = await browser.newPage({ colorScheme: options.colorScheme, viewport: { width: 1200, height: 900 } })
  const complaints: Array<string> = []
  page.on("console", (message) => void complaints.push(`console: ${message.text()}`))
  page.on("pageerror", (error) => void complaints.push(`error: ${error.message}`))
  page.on("request", (request) => {
    if (!options.own(request.url())) complaints.push(`request: ${request.url()}`)
  })
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`)
  })
  await page.goto(url)
  return { page, complaints, [Symbol.asyncDispose]: () => page.close() }
}

/** Opens a text as a file of its own. */
export const open = async (
  browser: Browser,
  file: { readonly name: string; readonly text: string },
  colorScheme: "light" | "dark"
): Promise<Opened> => {
  const directory = mkdtempSync(join(tmpdir(), "liveupdate-test-"))
  const path = join(directory, file.name)
  writeFileSync(path, file.text)
  const url = pathToFileURL(path).href
  const opened = await visit(browser, url, { colorScheme, own: (asked) => asked === url })
  return {
    page: opened.page,
    complaints: opened.complaints,
    [Symbol.asyncDispose]: async () => {
      await opened[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true })
    }
  }
}
