/**
 * The repository as the files that VitePress builds the site from: its pages, and each file and directory that a page links to, as
 * a page that shows it. So every link works where the repository itself isn't at hand.
 *
 * @since 0.1.0
 */
import { posix } from "node:path"
import * as Links from "./Links.ts"
import * as Markdown from "./Markdown.ts"
import * as Navigation from "./Navigation.ts"
import type { Repository } from "./Repository.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Site {
  /** Markdown by its place on the site. */
  readonly files: ReadonlyMap<string, string>
  /** Where a link of a page leads on the site, from its root; nothing where it leads elsewhere. */
  readonly link: (page: string, href: string) => string | undefined
}

/** `docs/install.md` → `install.md`, `README.md` → `index.md`, `packages/sdk/README.md` → `sdk.md` */
const placeOfPage = (path: string): string =>
  path === "README.md"
    ? "index.md"
    : path
        .replace(/^docs\//, "")
        .replace(/^packages\/examples\/src\/([^/]+)\/README\.md$/, "examples/$1.md")
        .replace(/^packages\/([^/]+)\/README\.md$/, "$1.md")
        .toLowerCase()

/** VitePress takes every `.md` off the end of an address, and passes over directories that begin with a dot. */
const placeOfSource = (path: string): string =>
  `source/${path.replace(/(?<=^|\/)\./g, "dot-").replace(/\.md$/, "-md")}.md`

const languages: Readonly<Record<string, string>> = {
  ".c": "c",
  ".h": "c",
  ".json": "json",
  ".mjs": "js",
  ".service": "ini",
  ".slice": "ini",
  ".toml": "toml",
  ".ts": "ts"
}

const frontMatter = (origin: string, rest: string): string => `---\norigin: ${JSON.stringify(origin)}\n${rest}---\n\n`

/** A directory shows its files and names the directories in it, or one link would bring a whole package. */
const listed = (repository: Repository, path: string, name: string): string =>
  repository
    .list(path)
    .map((entry) => (entry.endsWith("/") ? `- \`${entry}\`\n` : `- [\`${entry}\`](${encodeURI(`${name}/${entry}`)})\n`))
    .join("")

/** A fence that is longer than any in the text. */
const fenced = (path: string, text: string): string => {
  const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length + 1)))
  const language = languages[posix.extname(path)] ?? (text.startsWith("#!") ? "sh" : "text")
  return `${fence}${language}\n${text.trimEnd()}\n${fence}\n`
}

const asPage = (repository: Repository, path: string): string => {
  const name = path.split("/").at(-1) ?? path
  const shown =
    repository.kindOf(path) === "directory" ? listed(repository, path, name) : fenced(path, repository.read(path))
  return `${frontMatter(path, "search: false\nsource: true\n")}# ${name}\n\n\`${path}\`\n\n${shown}`
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (repository: Repository): Site => {
  const pages = new Map(Navigation.pages.map((path) => [path, placeOfPage(path)]))
  const files = new Map<string, string>()
  const placeOf = (path: string): string | undefined => {
    const readme = path === "" ? "README.md" : `${path}/README.md`
    const place = pages.get(path) ?? pages.get(readme)
    if (place !== undefined) return place
    return path.startsWith("..") || repository.kindOf(path) === undefined ? undefined : placeOfSource(path)
  }
  const link = (page: string, href: string): string | undefined => {
    const target = Links.resolve(page, href)
    const place = target === undefined ? undefined : placeOf(target.path)
    return place === undefined ? undefined : `/${place}${target?.anchor === undefined ? "" : `#${target.anchor}`}`
  }
  /** Shows what a page links to, and the files of a directory that it links to. */
  const follow = (page: string, text: string): void => {
    for (const { href } of Markdown.parse(text).links) {
      const path = Links.resolve(page, href)?.path
      const place = path === undefined ? undefined : placeOf(path)
      if (path === undefined || place === undefined || !place.startsWith("source/") || files.has(place)) continue
      const shown = asPage(repository, path)
      files.set(place, shown)
      // A file's own text isn't read as Markdown.
      if (repository.kindOf(path) === "directory") follow(path, shown)
    }
  }
  for (const [path, place] of pages) {
    const text = repository.read(path)
    files.set(place, `${frontMatter(path, "")}${text}`)
    follow(path, text)
  }
  return { files, link }
}
