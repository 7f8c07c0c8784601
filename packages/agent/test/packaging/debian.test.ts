/** The Debian package, before it is on a host (test/e2e/package.test.ts). */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as AgentPackage from "../../src/cli/AgentPackage.ts"
import * as Version from "../../src/cli/Version.ts"
import * as DebianPackage from "../../tools/DebianPackage.ts"
import * as PackageTree from "../../tools/PackageTree.ts"
import * as Release from "../../tools/Release.ts"
import * as Packed from "./Packed.ts"

const sources = PackageTree.sourcesIn(fileURLToPath(new URL("../../../..", import.meta.url)))
const scratch = Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveupdate-debian-"))
afterAll(() => Fs.rmSync(scratch, { recursive: true }))

let deb: string
beforeAll(async () => {
  deb = await Effect.runPromise(AgentPackage.file)
}, 180_000)

const sha256 = (file: string) => createHash("sha256").update(Fs.readFileSync(file)).digest("hex")

describe("version", () => {
  it("is one: of the npm package, of the Debian changelog, and what the agent says", () => {
    assert.strictEqual(DebianPackage.changelogVersion(sources), DebianPackage.versionOf(sources))
    assert.strictEqual(Version.VERSION, DebianPackage.versionOf(sources))
  })
})

describe("a release", () => {
  const changelog = `# @liveupdate/agent

## 0.2.0

### Minor Changes

- 1234567: Sees more.
  Much more, than can stand in one line of a changelog that Debian's tools would show without breaking it somewhere.

### Patch Changes

- Updated dependencies [1234567]
  - @liveupdate/sdk@0.2.0

## 0.1.1

- 89abcde: Sees.
`

  it("becomes an entry of the Debian changelog that Debian's own tools read", () => {
    const before = Fs.readFileSync(Path.join(sources.agent, "debian/changelog"), "utf8")
    const file = Path.join(scratch, "changelog")
    const changes = Release.changesOf(changelog, "0.2.0")
    Fs.writeFileSync(file, Release.withEntry(before, { version: "0.2.0", changes, date: new Date(0) }))
    const read = (field: string, count: number) =>
      execFileSync("dpkg-parsechangelog", ["-l", file, "-S", field, "-c", String(count)], { encoding: "utf8" }).trim()
    assert.strictEqual(read("Version", 1), "0.2.0")
    assert.strictEqual(read("Date", 1), "Thu, 01 Jan 1970 00:00:00 +0000")
    assert.match(read("Changes", 1), /\* Sees more\. Much more, than can stand/)
    assert.notInclude(read("Changes", 1), "Updated dependencies")
    assert.include(read("Changes", 2), DebianPackage.versionOf(sources))
  })

  it("becomes what the agent says of itself", () => {
    const source = Fs.readFileSync(Path.join(sources.agent, "src/cli/Version.ts"), "utf8")
    assert.include(Release.withVersion(source, "9.8.7"), 'export const VERSION = "9.8.7"')
    assert.throws(() => Release.withVersion("", "9.8.7"))
  })
})

describe("the Debian package", () => {
  it("is what its name says", () => {
    const fields = execFileSync("dpkg-deb", ["-f", deb, "Package", "Version", "Architecture"], { encoding: "utf8" })
    assert.strictEqual(
      fields,
      `Package: liveupdate-agent\nVersion: ${DebianPackage.versionOf(sources)}\nArchitecture: amd64\n`
    )
    assert.strictEqual(Path.basename(deb), DebianPackage.fileName(sources))
  })

  it("neither starts nor stops a unit", () => {
    const control = Path.join(scratch, "control")
    execFileSync("dpkg-deb", ["-e", deb, control])
    for (const script of ["postinst", "prerm", "postrm"]) {
      const text = Fs.readFileSync(Path.join(control, script), "utf8")
      assert.notMatch(text, /deb-systemd-invoke|systemctl [^\n]*(start|stop|kill|isolate)\b/, script)
    }
  })

  it("lintian has nothing to say", async () => {
    const options = ["--fail-on", "error,warning,info", "--allow-root"]
    const { status, stdout, stderr } = await Packed.run("lintian", [...options, deb], { cwd: scratch })
    assert.strictEqual(`${stdout}${stderr}`.trim(), "")
    assert.strictEqual(status, 0)
  }, 180_000)

  it("is the same, byte for byte, when it is built again", async () => {
    const again = Path.join(scratch, "again.deb")
    const { status, stderr } = await Packed.run(
      process.execPath,
      ["scripts/run-ts.mjs", "packages/agent/tools/package.ts", again],
      { cwd: sources.workspace }
    )
    assert.strictEqual(status, 0, stderr)
    assert.strictEqual(sha256(again), sha256(deb))
  }, 180_000)
})
