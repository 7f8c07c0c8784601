// Runs a TypeScript program of the workspace: node scripts/run-ts.mjs FILE [ARGUMENT…]
// Node 20 can't do that itself, and what only builds documentation isn't worth a build step of its own.
import { mkdtempSync, rmSync } from "node:fs"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { build } from "esbuild"

const [file, ...rest] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write("usage: node scripts/run-ts.mjs FILE [ARGUMENT…]\n")
  process.exit(2)
}
// Inside the package, where its dependencies are found from.
const directory = mkdtempSync(join(resolve(file), "..", ".run-"))
process.on("exit", () => rmSync(directory, { recursive: true, force: true }))
const outfile = join(directory, "program.mjs")
await build({
  entryPoints: [file],
  outfile,
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20.19",
  logLevel: "error"
})
process.argv = [process.argv[0], file, ...rest]
await import(pathToFileURL(outfile).href)
