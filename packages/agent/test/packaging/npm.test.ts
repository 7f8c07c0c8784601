/** What a person gets who installs the npm packages into an empty folder. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core"
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Packed from "./Packed.ts"

let packed: Packed.Packed
beforeAll(async () => {
  packed = await Packed.make()
}, 300_000)
afterAll(() => packed.remove(), 60_000)

const inPackage = (name: Packed.Published, file: string) =>
  Path.join(packed.folder, "node_modules/@liveupdate", name, file)

interface PackageJson {
  readonly version: string
  readonly exports: Readonly<Record<string, unknown>>
  readonly [part: string]: unknown
}

const packageJson = (name: Packed.Published): PackageJson =>
  JSON.parse(Fs.readFileSync(inPackage(name, "package.json"), "utf8"))

describe("npx @liveupdate/agent", () => {
  it("doctor says what this machine lacks for a live update, with exit code 5", async () => {
    const { status, stdout, stderr } = await packed.run(
      "npx",
      "--no",
      "--",
      "@liveupdate/agent",
      "doctor",
      "--output",
      "ndjson"
    )
    const lines: ReadonlyArray<{ readonly type: string; readonly check?: string; readonly verdict?: string }> = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    const verdictOf = (check: string) => lines.find((line) => line.check === check)?.verdict
    assert.strictEqual(lines.at(-1)?.type, "summary", stderr)
    // Nobody has put the units where systemd looks for them, on whatever machine this runs.
    assert.notStrictEqual(verdictOf("resume-unit"), "ok")
    if (!Fs.existsSync("/dev/liveupdate")) assert.strictEqual(verdictOf("live-update"), "fail")
    assert.strictEqual(status, 5, stderr)
  })

  it("says what else it needs where that is another one's work: a host", async () => {
    const { status, stderr } = await packed.run("npx", "--no", "--", "@liveupdate/agent", "host", "start", "lab")
    assert.strictEqual(status, 5, stderr)
    assert.include(stderr, "from the workspace")
  })

  it("is the version that was packed", async () => {
    const { stdout } = await packed.run("npx", "--no", "--", "@liveupdate/agent", "--version")
    assert.strictEqual(stdout.trim(), packageJson("agent").version)
  })
})

describe("the SDK", () => {
  it("is imported by a program of plain JavaScript, with its model of the kernel", async () => {
    const program = Path.join(packed.folder, "program.js")
    Fs.writeFileSync(
      program,
      `import { Effect } from "effect"
       import { KernelImage, LiveUpdate } from "@liveupdate/sdk"
       import * as SimulatedHost from "@liveupdate/sdk/SimulatedHost"
       console.log([KernelImage.inspect, LiveUpdate.create, SimulatedHost.simulateKexec].every((known) => known !== undefined), Effect.isEffect(Effect.void))`
    )
    const { stdout, stderr } = await packed.run(process.execPath, program)
    assert.strictEqual(stdout, "true true\n", stderr)
  })
})

describe("types", () => {
  const consumer = `import * as Hosts from "@liveupdate/agent/cli/Hosts"
import * as Qemu from "@liveupdate/agent/vmm/Qemu"
import * as QemuHost from "@liveupdate/qemu-host/QemuHost"
import { LiveUpdate } from "@liveupdate/sdk"
import * as Memfd from "@liveupdate/sdk/Memfd"
import * as Effect from "effect/Effect"

export const create = Effect.scoped(LiveUpdate.create("vm-web-1")).pipe(
  Effect.catchTag("SessionExists", () => Effect.void),
  Effect.asVoid
)
export const all = { Qemu, Hosts, QemuHost, Memfd, LiveUpdate }
// Nothing of them is \`any\`, which would allow this.
// @ts-expect-error
export const wrong: number = LiveUpdate.create
`
  for (const [moduleResolution, module] of [
    ["node16", "node16"],
    ["bundler", "esnext"]
  ] as const)
    it(`resolve with moduleResolution ${moduleResolution}`, async () => {
      Fs.writeFileSync(Path.join(packed.folder, "consumer.ts"), consumer)
      const { status, stdout } = await packed.run(
        process.execPath,
        Path.join(Packed.workspace, "node_modules/typescript/bin/tsc"),
        ...["--noEmit", "--strict", "--skipLibCheck", "--target", "es2023", "--module", module],
        ...["--moduleResolution", moduleResolution, "consumer.ts"]
      )
      assert.strictEqual(`${status}\n${stdout}`, "0\n")
    }, 120_000)
})

for (const name of Packed.published)
  describe(`the tarball of @liveupdate/${name}`, () => {
    it("says of every subpath what arethetypeswrong and publint expect", async () => {
      const data = Fs.readFileSync(packed.tarballs[name])
      const modules = Packed.filesOf(packed, name).flatMap(
        (file) => /^dist\/((?:(?!internal\b|errors\b)\w+\/)*[A-Z]\w+)\.d\.ts$/.exec(file)?.[1] ?? []
      )
      const closed = Object.entries(packageJson(name).exports).filter(([, to]) => to === null)
      const open = modules.filter((module) => !closed.some(([from]) => from === `./${module}`))
      assert.isNotEmpty(open)
      const result = await checkPackage(createPackageFromTarballData(new Uint8Array(data)), {
        entrypoints: [...("." in packageJson(name).exports ? ["."] : []), ...open.map((module) => `./${module}`)]
      })
      if (!result.types) return assert.fail("it has no types")
      // An ESM package is for those who resolve as ESM does: CommonJS can only import() it, and node10 knows no \`exports\`.
      const problems = result.problems.filter(
        (problem) => !("resolutionKind" in problem && ["node10", "node16-cjs"].includes(problem.resolutionKind))
      )
      assert.deepStrictEqual(problems, [])

      const { messages, pkg } = await publint({
        pack: { tarball: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) }
      })
      assert.deepStrictEqual(
        messages.map((message) => formatMessage(message, pkg)),
        []
      )
    }, 180_000)

    it("has its license, and no file of ours alone", () => {
      const files = Packed.filesOf(packed, name)
      assert.includeMembers([...files], ["LICENSE", "README.md", "package.json"])
      const known = /^(LICENSE|README\.md|package\.json)$|^dist\/[\w/.-]+\.(js|d\.ts)(\.map)?$|^src\/[\w/.-]+\.ts$/
      const besides = {
        sdk: /^$/,
        "qemu-host": /^(emulator|guest|host|kernel|rootfs)\/|^(rootfs|debian-packages)\.json$/,
        agent:
          /^(THIRD-PARTY|sbom\.cdx\.json|man\/agent\.1|grafana\/liveupdate\.json|prometheus\/liveupdate\.rules\.yml)$/
      }[name]
      assert.deepStrictEqual(
        files.filter((file) => !known.test(file) && !besides.test(file)),
        []
      )
      assert.deepStrictEqual(
        files.filter((file) => /(^|\/)(test|tests|tools|node_modules|bundle)\/|\.test\.|tsbuildinfo/.test(file)),
        []
      )
    })

    it("has source maps that lead to what is there", () => {
      for (const file of Packed.filesOf(packed, name).filter((file) => file.endsWith(".map"))) {
        const map: { readonly sources: ReadonlyArray<string> } = JSON.parse(
          Fs.readFileSync(inPackage(name, file), "utf8")
        )
        for (const source of map.sources)
          assert.isTrue(Fs.existsSync(Path.resolve(inPackage(name, file), "..", source)), `${file}: ${source}`)
      }
    })

    it("names no version in the workspace's way", () => {
      assert.notMatch(JSON.stringify(packageJson(name)), /"(workspace|catalog):/)
    })
  })
