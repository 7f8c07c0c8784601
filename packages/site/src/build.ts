// npm run docs:site: the documentation as a site, in docs/build/site. Nothing is fetched.
import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { build } from "vitepress"
import * as Repository from "./Repository.ts"
import * as Site from "./Site.ts"

const root = process.cwd()
const pages = join(root, "packages/site/build/pages")
const out = join(root, "docs/build/site")

rmSync(pages, { recursive: true, force: true })
for (const [path, text] of Site.make(Repository.at(root)).files) {
  const file = join(pages, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
await build(join(root, "packages/site"), { outDir: out })

const { status } = spawnSync(
  process.execPath,
  [join(root, "node_modules/typedoc/bin/typedoc"), "--out", join(out, "api")],
  { cwd: join(root, "packages/sdk"), stdio: "inherit" }
)
process.exitCode = status ?? 1
