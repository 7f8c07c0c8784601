import { readdirSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Links from "../src/Links.ts"
import * as Markdown from "../src/Markdown.ts"
import * as Navigation from "../src/Navigation.ts"
import * as Repository from "../src/Repository.ts"
import * as Site from "../src/Site.ts"

const root = join(import.meta.dirname, "../../..")
const repository = Repository.at(root)

/** Of these files; a directory is where one of them is in. */
const made = (files: Readonly<Record<string, string>>): Repository.Repository => {
  const under = (path: string) => (path === "" || path.endsWith("/") ? path : `${path}/`)
  return {
    kindOf: (path) =>
      path in files
        ? "file"
        : Object.keys(files).some((file) => file.startsWith(under(path)))
          ? "directory"
          : undefined,
    read: (path) => files[path] ?? "",
    list: (path) => [
      ...new Set(
        Object.keys(files)
          .filter((file) => file.startsWith(under(path)))
          .map((file) => file.slice(under(path).length))
          .map((rest) => (rest.includes("/") ? `${rest.split("/")[0]}/` : rest))
      )
    ]
  }
}

describe("a page of Markdown", () => {
  it("names its headings as GitHub does", () => {
    const { anchors, title } = Markdown.parse(
      '# `agent doctor`: is this host ready?\n\n## Two\n\n## Two\n\n### What\'s in `a.b`\n\nText <a id="here"></a>\n\n```sh\n# none\n```\n'
    )
    assert.strictEqual(title, "agent doctor: is this host ready?")
    assert.deepStrictEqual([...anchors].sort(), [
      "agent-doctor-is-this-host-ready",
      "here",
      "two",
      "two-1",
      "whats-in-ab"
    ])
  })

  it("has links where it reads like one, not in code", () => {
    const { links } = Markdown.parse("one [a](a.md)\n\n| b |\n| --- |\n| [b](b.md#x) |\n\n`[c](c.md)`\n\n![d](d.png)\n")
    assert.deepStrictEqual(links, [
      { href: "a.md", line: 1 },
      { href: "b.md#x", line: 5 },
      { href: "d.png", line: 9 }
    ])
  })
})

describe("links", () => {
  it("are followed from the page that they stand on", () => {
    const at = (href: string) => Links.resolve("docs/a.md", href)
    assert.deepStrictEqual(at("b.md#c"), { path: "docs/b.md", anchor: "c" })
    assert.deepStrictEqual(at("#c"), { path: "docs/a.md", anchor: "c" })
    assert.deepStrictEqual(at("../packages/x/"), { path: "packages/x", anchor: undefined })
    assert.deepStrictEqual(at(".."), { path: "", anchor: undefined })
    assert.deepStrictEqual(at("../../x"), { path: "../x", anchor: undefined })
    assert.isUndefined(at("https://docs.kernel.org/"))
    assert.isUndefined(at("mailto:a@b"))
  })

  it("that lead nowhere are found, with their place", () => {
    const pages = made({
      "README.md": "# One\n\n[a](docs/a.md#two) [b](docs/b.md)\n\n[c](docs/a.md#none) [d](src/x.ts#L1) [e](src)\n",
      "docs/a.md": "# A\n\n## Two\n\n[out](../../elsewhere)\n",
      "src/x.ts": ""
    })
    assert.deepStrictEqual(Links.dead(pages), [
      "README.md:3: docs/b.md: there is no docs/b.md",
      "README.md:5: docs/a.md#none: docs/a.md has no heading #none",
      "README.md:5: src/x.ts#L1: src/x.ts is no page, so it has no #L1",
      "docs/a.md:5: ../../elsewhere: there is no ../elsewhere"
    ])
  })

  it("of this repository all lead somewhere", () => {
    assert.isAbove(Repository.markdown(repository).length, 30)
    assert.deepStrictEqual(Links.dead(repository), [])
  })
})

describe("the site", () => {
  const site = Site.make(repository)

  it("has every page of docs/ and every README in its navigation", () => {
    const wanted = Repository.markdown(repository).filter((path) =>
      /^(docs\/.+|README|CONTRIBUTING|packages\/([^/]+|examples\/src\/[^/]+)\/README)\.md$/.test(path)
    )
    assert.deepStrictEqual(
      wanted.filter((path) => !Navigation.pages.includes(path)),
      [],
      "put it into packages/site/src/Navigation.ts"
    )
    assert.deepStrictEqual(
      Navigation.pages.filter((path) => !wanted.includes(path)),
      []
    )
  })

  it("has a page for whatever a page links to", () => {
    for (const path of Navigation.pages)
      for (const { href } of Markdown.parse(repository.read(path)).links) {
        if (Links.resolve(path, href) === undefined) continue
        const [place = ""] = (site.link(path, href) ?? assert.fail(`${path}: ${href}`)).slice(1).split("#")
        assert.isTrue(site.files.has(place), `${path}: ${href} leads to ${place}`)
      }
  })

  it("puts nothing into directories that VitePress passes over", () => {
    const { files, link } = Site.make(made({ "README.md": "[x](.ci/.run)", ".ci/.run": "true\n" }))
    assert.strictEqual(link("README.md", ".ci/.run"), "/source/dot-ci/dot-run.md")
    assert.isTrue(files.has("source/dot-ci/dot-run.md"))
    assert.deepStrictEqual(
      [...site.files.keys()].filter((place) => /(^|\/)\./.test(place)),
      []
    )
  })

  it("shows a source as it is, and where it is from", () => {
    const shown = site.files.get("source/packages/agent/test/e2e/install.test.ts.md") ?? assert.fail("not shown")
    assert.include(shown, "`packages/agent/test/e2e/install.test.ts`")
    assert.include(shown, "```ts\n")
  })
})

describe("what pages say about tests", () => {
  const tests = new Set(
    readdirSync(join(root, "packages"), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".test.ts") && !/node_modules|\bdist\b|\bbuild\b/.test(path))
      .map((path) => path.split("/").at(-1))
  )

  /** The first table under a heading, without its alignment and the folder of its links. */
  const table = (page: string, title: string): ReadonlyArray<string> => {
    const [, after = ""] = repository.read(page).split(`## ${title}\n`)
    const [first = ""] = after.trimStart().split("\n\n")
    return first.split("\n").map((line) => line.replaceAll(/ +|-+/g, " ").replaceAll("docs/", ""))
  }

  it("names tests that there are", () => {
    const named = ["README.md", "docs/compatibility.md", "docs/test-kernel.md"].flatMap((page) =>
      [...repository.read(page).matchAll(/`([\w.-]+\.test\.ts)`/g)].map(([, name = ""]) => ({ page, name }))
    )
    assert.isAbove(named.length, 8)
    assert.deepStrictEqual(
      named.filter(({ name }) => !tests.has(name)),
      []
    )
  })

  it("is the same on the README and in docs/compatibility.md", () => {
    const rows = table("docs/compatibility.md", "Kernels and kinds of handles")
    assert.lengthOf(rows, 6)
    assert.deepStrictEqual(table("README.md", "What works on which kernel"), rows)
  })
})
