// How esbuild makes a program of ours run on a host, where there is no node_modules: one file, with ffi-rs's native part beside it.
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(join(root, "packages/sdk/package.json"))

export const ffi = dirname(require.resolve("ffi-rs/package.json"))

/** All of ffi-rs that we use, from there, loaded when it is used. */
const atFirstCall = (from) => `module.exports = {
  get DataType() { return require(${JSON.stringify(from)}).DataType },
  load: (call) => require(${JSON.stringify(from)}).load(call),
  open: (library) => require(${JSON.stringify(from)}).open(library)
}`

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
      contents: atFirstCall(join(ffi, "index.js")),
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

export const options = {
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

/** Beside a node_modules ffi-rs stays what it is there, made for this processor and libc; it only waits for the first call. */
const installedFfi = {
  name: "installed-ffi",
  setup(plugin) {
    plugin.onResolve({ filter: /^ffi-rs$/ }, ({ namespace }) =>
      namespace === "installed-ffi"
        ? { path: "ffi-rs", external: true }
        : { path: "ffi-rs", namespace: "installed-ffi" }
    )
    plugin.onLoad({ filter: /.*/, namespace: "installed-ffi" }, () => ({
      contents: atFirstCall("ffi-rs"),
      loader: "js"
    }))
  }
}

export const esm = {
  format: "esm",
  banner: {
    js: [
      'import { createRequire as liveupdateRequire } from "node:module";',
      "const require = liveupdateRequire(import.meta.url);",
      'const __dirname = new URL(".", import.meta.url).pathname, __filename = new URL(import.meta.url).pathname;'
    ].join("\n")
  }
}

/** A program that is started from where its package is installed. */
export const installed = { ...options, ...esm, plugins: [installedFfi], splitting: true }
