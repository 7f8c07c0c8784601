// The Debian package of the agent, from what `npm run build` made: npm run package
// Prints its path. One that was built from the same files is kept; `-- FILE` builds it anew, there.
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as DebianPackage from "./DebianPackage.ts"
import * as PackageTree from "./PackageTree.ts"

const refuse = (text: string): never => {
  process.stderr.write(`package: ${text}\n`)
  process.exit(5)
}

const sources = PackageTree.sourcesIn(process.cwd())
if (!Fs.existsSync(Path.join(sources.bundle, "agent.cjs"))) refuse("the agent's bundle is not built: npm run build")

const version = DebianPackage.versionOf(sources)
const inChangelog = DebianPackage.changelogVersion(sources)
if (version !== inChangelog)
  refuse(`the agent's version is ${version}, and that of debian/changelog ${inChangelog}: make them one`)

const directory = Path.join(sources.agent, "build")
const [elsewhere] = process.argv.slice(2)
const result = elsewhere ?? Path.join(directory, DebianPackage.fileName(sources))
const stamp = `${result}.made-of`
const hash = PackageTree.hash(sources)

if (
  elsewhere === undefined &&
  Fs.existsSync(result) &&
  Fs.existsSync(stamp) &&
  Fs.readFileSync(stamp, "utf8") === hash
) {
  // Whoever compares times sees that it is up to date.
  const now = new Date()
  Fs.utimesSync(result, now, now)
} else {
  if (spawnSync("dpkg-query", ["-W", "debhelper"]).status !== 0)
    refuse("the Debian package is built with debhelper, which is missing: node scripts/setup.mjs --host")
  Fs.mkdirSync(directory, { recursive: true })
  Fs.rmSync(stamp, { force: true })
  DebianPackage.build(sources, result)
  if (elsewhere === undefined) Fs.writeFileSync(stamp, hash)
}
process.stdout.write(`${Path.relative(process.cwd(), result)}\n`)
