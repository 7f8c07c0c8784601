/**
 * Builds the Debian package with debhelper.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as PackageTree from "./PackageTree.ts"

export const versionOf = ({ agent }: Pick<PackageTree.Sources, "agent">): string => {
  const { version }: { readonly version: string } = JSON.parse(
    Fs.readFileSync(Path.join(agent, "package.json"), "utf8")
  )
  return version
}

/** The newest one in debian/changelog. */
export const changelogVersion = ({ agent }: Pick<PackageTree.Sources, "agent">): string | undefined =>
  /\((.+?)\)/.exec(Fs.readFileSync(Path.join(agent, "debian/changelog"), "utf8"))?.[1]

export const fileName = (sources: PackageTree.Sources): string => `liveupdate-agent_${versionOf(sources)}_amd64.deb`

/** Into `to`, in a directory of its own beside it. The same files make the same package, byte for byte. */
export const build = (sources: PackageTree.Sources, to: string): void => {
  const work = Fs.mkdtempSync(Path.join(Path.dirname(to), "package-"))
  try {
    const tree = Path.join(work, "liveupdate-agent")
    PackageTree.write(sources, tree)
    const { status, stdout, stderr } = spawnSync("dpkg-buildpackage", ["-b", "-us", "-uc", "-nc"], {
      cwd: tree,
      encoding: "utf8",
      // The time of everything in it is the changelog's.
      env: { ...process.env, SOURCE_DATE_EPOCH: undefined, LC_ALL: "C.UTF-8" }
    })
    if (status !== 0) throw new Error(`dpkg-buildpackage ended with ${status}\n${stdout}${stderr}`)
    Fs.renameSync(Path.join(work, fileName(sources)), to)
  } finally {
    Fs.rmSync(work, { recursive: true, force: true })
  }
}
