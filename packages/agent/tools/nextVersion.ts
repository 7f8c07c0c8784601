// Part of `npm run release:version`, after `changeset version`: the agent's new version where changesets doesn't look.
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as DebianPackage from "./DebianPackage.ts"
import * as Release from "./Release.ts"

const agent = Path.resolve("packages/agent")
const changelog = Path.join(agent, "debian/changelog")
const source = Path.join(agent, "src/cli/Version.ts")
const version = DebianPackage.versionOf({ agent })

if (DebianPackage.changelogVersion({ agent }) !== version) {
  const changes = Release.changesOf(Fs.readFileSync(Path.join(agent, "CHANGELOG.md"), "utf8"), version)
  Fs.writeFileSync(
    changelog,
    Release.withEntry(Fs.readFileSync(changelog, "utf8"), { version, changes, date: new Date() })
  )
}
Fs.writeFileSync(source, Release.withVersion(Fs.readFileSync(source, "utf8"), version))
