// packages/site/src/build.ts
import { spawnSync } from "node:child_process"
// packages/site/src/Repository.ts
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join, join as join2 } from "node:path"
import { build } from "vitepress"

var apart = /* @__PURE__ */ new Set(["node_modules", "dist", "build", "coverage"])
var at = (root2) => ({
  kindOf: (path) => {
    const found = statSync(join(root2, path), { throwIfNoEntry: false })
    return found === void 0 ? void 0 : found.isDirectory() ? "directory" : "file"
  },
  read: (path) => readFileSync(join(root2, path), "utf8"),
  list: (path) =>
    readdirSync(join(root2, path), { withFileTypes: true })
      .filter(({ name }) => !name.startsWith(".") && !apart.has(name) && !name.endsWith(".tsbuildinfo"))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .sort()
})

// packages/site/src/Site.ts
// packages/site/src/Links.ts
import { posix, posix as posix2 } from "node:path"

// packages/site/src/Markdown.ts
import GithubSlugger from "github-slugger"
import MarkdownIt from "markdown-it"

var parser = new MarkdownIt({ html: true })
var plain = (inline) =>
  (inline?.children ?? [])
    .filter(({ type }) => type === "text" || type === "code_inline")
    .map(({ content }) => content)
    .join("")
var idsOfHtml = (html) => [...html.matchAll(/<\w[^>]*?\s(?:id|name)="([^"]+)"/g)].map(([, id = ""]) => id)
var parse = (text) => {
  const tokens = parser.parse(text, {})
  const slugger = new GithubSlugger()
  const anchors = /* @__PURE__ */ new Set()
  const links = []
  let title = ""
  for (const [index, token] of tokens.entries()) {
    if (token.type === "heading_open") {
      const words = plain(tokens[index + 1])
      if (title === "" && token.tag === "h1") title = words
      anchors.add(slugger.slug(words))
    }
    if (token.type === "html_block") for (const id of idsOfHtml(token.content)) anchors.add(id)
    const line = (token.map ?? tokens.findLast((other, at2) => at2 < index && other.map !== null)?.map)?.[0] ?? 0
    for (const child of token.children ?? []) {
      if (child.type === "html_inline") for (const id of idsOfHtml(child.content)) anchors.add(id)
      const href = child.attrGet("href") ?? child.attrGet("src")
      if (href !== null) links.push({ href, line: line + 1 })
    }
  }
  return { title, anchors, links }
}

// packages/site/src/Links.ts
var resolve = (page2, href) => {
  if (/^[a-z][a-z\d+.-]*:/i.test(href) || href.startsWith("//")) return void 0
  const [, path = "", anchor] = /^([^#]*)(?:#(.*))?$/s.exec(decodeURI(href)) ?? []
  const joined = path === "" ? page2 : posix.join(posix.dirname(page2), path)
  return { path: joined.replace(/^\.?\/?$|\/$/, ""), anchor }
}

// packages/site/src/Navigation.ts
var page = (path, title) => ({ path, title })
var sections = [
  {
    title: "Start here",
    pages: [page("README.md", "What it is"), page("docs/glossary.md", "Glossary")]
  },
  {
    title: "Concepts",
    pages: [
      page("docs/states.md", "Phases and states"),
      page("docs/custody.md", "Custody"),
      page("docs/blackout.md", "Blackout"),
      page("docs/handles.md", "Handles")
    ]
  },
  {
    title: "Install",
    pages: [page("docs/install.md", "Install on a host"), page("docs/compatibility.md", "Compatibility")]
  },
  {
    title: "Operate",
    pages: [
      page("docs/runbook.md", "Runbook"),
      page("docs/doctor.md", "Doctor"),
      page("docs/failures.md", "When something fails"),
      page("docs/systemd.md", "systemd"),
      page("docs/configuration.md", "Configuration"),
      page("docs/report.md", "Report"),
      page("docs/security.md", "Security")
    ]
  },
  {
    title: "Reference",
    pages: [
      page("docs/cli.md", "Commands"),
      page("docs/errors.md", "Errors and what to do"),
      page("docs/events.md", "Events"),
      page("packages/sdk/README.md", "SDK")
    ]
  },
  {
    title: "Examples",
    pages: [
      page("packages/examples/src/adopt-qemu/README.md", "Adopt a QEMU"),
      page("packages/examples/src/control-plane/README.md", "Control plane over HTTP"),
      page("packages/examples/src/cache-without-a-vm/README.md", "Cache without a VM"),
      page("packages/examples/src/many-vms/README.md", "Many VMs, taps and bridges"),
      page("packages/examples/src/own-vmm/README.md", "Your own VMM"),
      page("packages/examples/src/testing-your-integration/README.md", "Test your integration")
    ]
  },
  {
    title: "Performance",
    pages: [page("docs/performance.md", "What was measured"), page("docs/benchmark.md", "What the SDK costs")]
  },
  {
    title: "Develop",
    pages: [
      page("CONTRIBUTING.md", "Contributing"),
      page("docs/faults.md", "Fault matrix"),
      page("docs/test-kernel.md", "Kernel with test handlers"),
      page("docs/emulator.md", "The emulator")
    ]
  }
]
var pages = sections.flatMap(({ pages: pages3 }) => pages3.map(({ path }) => path))

// packages/site/src/Site.ts
var placeOfPage = (path) =>
  path === "README.md"
    ? "index.md"
    : path
        .replace(/^docs\//, "")
        .replace(/^packages\/examples\/src\/([^/]+)\/README\.md$/, "examples/$1.md")
        .replace(/^packages\/([^/]+)\/README\.md$/, "$1.md")
        .toLowerCase()
var placeOfSource = (path) => `source/${path.replace(/\.md$/, "-md")}.md`
var languages = {
  ".c": "c",
  ".h": "c",
  ".json": "json",
  ".mjs": "js",
  ".service": "ini",
  ".slice": "ini",
  ".toml": "toml",
  ".ts": "ts"
}
var frontMatter = (origin, rest) => `---
origin: ${JSON.stringify(origin)}
${rest}---

`
var listed = (repository, path, name) =>
  repository
    .list(path)
    .map((entry) =>
      entry.endsWith("/")
        ? `- \`${entry}\`
`
        : `- [\`${entry}\`](${encodeURI(`${name}/${entry}`)})
`
    )
    .join("")
var fenced = (path, text) => {
  const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length + 1)))
  const language = languages[posix2.extname(path)] ?? (text.startsWith("#!") ? "sh" : "text")
  return `${fence}${language}
${text.trimEnd()}
${fence}
`
}
var asPage = (repository, path) => {
  const name = path.split("/").at(-1) ?? path
  const shown =
    repository.kindOf(path) === "directory" ? listed(repository, path, name) : fenced(path, repository.read(path))
  return `${frontMatter(path, "search: false\nsource: true\n")}# ${name}

\`${path}\`

${shown}`
}
var make = (repository) => {
  const pages3 = new Map(pages.map((path) => [path, placeOfPage(path)]))
  const files = /* @__PURE__ */ new Map()
  const placeOf = (path) => {
    const readme = path === "" ? "README.md" : `${path}/README.md`
    const place = pages3.get(path) ?? pages3.get(readme)
    if (place !== void 0) return place
    return path.startsWith("..") || repository.kindOf(path) === void 0 ? void 0 : placeOfSource(path)
  }
  const link = (page2, href) => {
    const target = resolve(page2, href)
    const place = target === void 0 ? void 0 : placeOf(target.path)
    return place === void 0 ? void 0 : `/${place}${target?.anchor === void 0 ? "" : `#${target.anchor}`}`
  }
  const follow = (page2, text) => {
    for (const { href } of parse(text).links) {
      const path = resolve(page2, href)?.path
      const place = path === void 0 ? void 0 : placeOf(path)
      if (path === void 0 || place === void 0 || !place.startsWith("source/") || files.has(place)) continue
      const shown = asPage(repository, path)
      files.set(place, shown)
      if (repository.kindOf(path) === "directory") follow(path, shown)
    }
  }
  for (const [path, place] of pages3) {
    const text = repository.read(path)
    files.set(place, `${frontMatter(path, "")}${text}`)
    follow(path, text)
  }
  return { files, link }
}

// packages/site/src/build.ts
var root = process.cwd()
var pages2 = join2(root, "packages/site/build/pages")
var out = join2(root, "docs/build/site")
rmSync(pages2, { recursive: true, force: true })
for (const [path, text] of make(at(root)).files) {
  const file = join2(pages2, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
await build(join2(root, "packages/site"), { outDir: out })
var { status } = spawnSync(
  process.execPath,
  [join2(root, "node_modules/typedoc/bin/typedoc"), "--out", join2(out, "api")],
  { cwd: join2(root, "packages/sdk"), stdio: "inherit" }
)
process.exitCode = status ?? 1
