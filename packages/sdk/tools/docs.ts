// What documentation is made from the code: npm run docs. Fails when an export lacks its docstring.
// --check: only says whether something is missing or out of date, and writes nothing.
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Docstrings from "./Docstrings.ts"
import * as PublicApi from "./PublicApi.ts"

const directory = PublicApi.findPackage(fileURLToPath(new URL(".", import.meta.url)))
const problems = Docstrings.problems(PublicApi.read(directory))
for (const problem of problems) process.stderr.write(`${problem}\n`)
if (problems.length > 0) process.exit(1)
if (process.argv.includes("--check")) process.exit(0)

const { status } = spawnSync(process.execPath, [join(directory, "../../node_modules/typedoc/bin/typedoc")], {
  cwd: directory,
  stdio: "inherit"
})
process.exitCode = status ?? 1
