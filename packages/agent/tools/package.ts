// The Debian package of the agent, from what `npm run build` made: npm run package
// Prints its path. One that was built from the same files is kept.
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as PackageTree from "./PackageTree.ts"

const refuse = (text: string): never => {
  process.stderr.write(`package: ${text}\n`)
  process.exit(5)
}

const sources = PackageTree.sourcesIn(process.cwd())
if (!Fs.existsSync(Path.join(sources.bundle, "agent.cjs"))) refuse("the agent's bundle is not built: npm run build")

const version: unknown = JSON.parse(Fs.readFileSync(Path.join(sources.agent, "package.json"), "utf8")).version
const [, inChangelog] = /\((.+?)\)/.exec(Fs.readFileSync(Path.join(sources.agent, "debian/changelog"), "utf8")) ?? []
if (version !== inChangelog)
  refuse(`the package's version is ${version}, and that of debian/changelog ${inChangelog}: make them one`)

const build = Path.join(sources.agent, "build")
const name = `liveupdate-agent_${version}_amd64.deb`
const result = Path.join(build, name)
const stamp = `${result}.made-of`
const hash = PackageTree.hash(sources)

if (Fs.existsSync(result) && Fs.existsSync(stamp) && Fs.readFileSync(stamp, "utf8") === hash) {
  // Whoever compares times sees that it is up to date.
  const now = new Date()
  Fs.utimesSync(result, now, now)
} else {
  if (spawnSync("dpkg-query", ["-W", "debhelper"]).status !== 0)
    refuse("the Debian package is built with debhelper, which is missing: node scripts/setup.mjs --host")
  Fs.mkdirSync(build, { recursive: true })
  const work = Fs.mkdtempSync(Path.join(build, "package-"))
  process.on("exit", () => Fs.rmSync(work, { recursive: true, force: true }))
  const tree = Path.join(work, "liveupdate-agent")
  PackageTree.write(sources, tree)
  const built = spawnSync("dpkg-buildpackage", ["-b", "-us", "-uc", "-nc"], {
    cwd: tree,
    encoding: "utf8",
    // The time of everything in it is the changelog's.
    env: { ...process.env, SOURCE_DATE_EPOCH: undefined, LC_ALL: "C.UTF-8" }
  })
  if (built.status !== 0) {
    process.stderr.write(`${built.stdout}${built.stderr}`)
    process.exit(1)
  }
  Fs.rmSync(stamp, { force: true })
  Fs.renameSync(Path.join(work, name), result)
  Fs.writeFileSync(stamp, hash)
}
process.stdout.write(`${Path.relative(process.cwd(), result)}\n`)
