// What of the agent's documentation is made from its code: docs/states.md, docs/faults.md, docs/configuration.md, docs/cli.md,
// its man page, and the configuration that its Debian package brings. npm run docs
// --check: only says whether something is out of date, and writes nothing.
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as CliPage from "./CliPage.ts"
import * as ConfigurationPage from "./ConfigurationPage.ts"
import * as ConfigurationSample from "./ConfigurationSample.ts"
import * as FaultsPage from "./FaultsPage.ts"
import * as ManPage from "./ManPage.ts"
import * as StatesPage from "./StatesPage.ts"

/** As the formatter would have it, where it knows the language. */
const formatted = (path: string, text: string): string => {
  if (!path.endsWith(".md")) return text
  const { status, stdout, stderr } = spawnSync("node_modules/.bin/biome", ["format", `--stdin-file-path=${path}`], {
    input: text,
    encoding: "utf8"
  })
  if (status !== 0) throw new Error(stderr)
  return stdout
}

const pages = {
  "docs/cli.md": CliPage.text,
  "docs/states.md": StatesPage.text,
  "docs/faults.md": FaultsPage.text,
  "docs/configuration.md": ConfigurationPage.text,
  "packages/agent/debian/agent.toml": ConfigurationSample.text,
  "packages/agent/man/agent.1": ManPage.text(readFileSync("README.md", "utf8"))
}

for (const [path, unformatted] of Object.entries(pages)) {
  const text = formatted(path, unformatted)
  const file = join(process.cwd(), path)
  if (existsSync(file) && readFileSync(file, "utf8") === text) continue
  if (process.argv.includes("--check")) {
    process.stderr.write(`${path} is out of date: npm run docs\n`)
    process.exitCode = 1
  } else {
    writeFileSync(file, text)
    process.stdout.write(`${path} is written anew\n`)
  }
}
