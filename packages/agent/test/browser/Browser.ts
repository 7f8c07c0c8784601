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

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: executable() })

export interface Opened extends AsyncDisposable {
  readonly page: Page
  /** What the browser had to say, and what it asked for beside the page itself. */
  readonly complaints: ReadonlyArray<string>
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
  const page = await browser.newPage({ colorScheme, viewport: { width: 1200, height: 900 } })
  const url = pathToFileURL(path).href
  const complaints: Array<string> = []
  page.on("console", (message) => void complaints.push(`console: ${message.text()}`))
  page.on("pageerror", (error) => void complaints.push(`error: ${error.message}`))
  page.on("request", (request) => {
    if (request.url() !== url) complaints.push(`request: ${request.url()}`)
  })
  await page.goto(url)
  return {
    page,
    complaints,
    [Symbol.asyncDispose]: async () => {
      await page.close()
      rmSync(directory, { recursive: true })
    }
  }
}
