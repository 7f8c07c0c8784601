/**
 * Pages that are made from code: written where they differ, or with `--check` only named.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

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

/** By their paths in the workspace, which is the working directory. */
export const write = (pages: Readonly<Record<string, string>>): void => {
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
}
