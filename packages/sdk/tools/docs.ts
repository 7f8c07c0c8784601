// What documentation is made from the code: npm run docs. Fails when an export lacks its docstring.
// --check: only says whether something is missing or out of date, and writes nothing.
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Docstrings from "./Docstrings.ts"
import * as Pages from "./Pages.ts"
import * as PublicApi from "./PublicApi.ts"

const checkOnly = process.argv.includes("--check")
const directory = PublicApi.findPackage(fileURLToPath(new URL(".", import.meta.url)))
const workspace = join(directory, "../..")
const api = PublicApi.read(directory)

const refuse = (problems: ReadonlyArray<string>) => {
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  if (problems.length > 0) process.exit(1)
}

refuse([...Docstrings.problems(api), ...Pages.problems(api)])
for (const { path, text } of Pages.all(api, workspace)) {
  const file = join(workspace, path)
  if (existsSync(file) && readFileSync(file, "utf8") === text) continue
  if (checkOnly) refuse([`${path} is out of date: npm run docs`])
  writeFileSync(file, text)
  process.stdout.write(`${path} is written anew\n`)
}

if (!checkOnly) {
  const { status } = spawnSync(process.execPath, [join(workspace, "node_modules/typedoc/bin/typedoc")], {
    cwd: directory,
    stdio: "inherit"
  })
  process.exitCode = status ?? 1
}
