import { fileURLToPath } from "node:url"
import { instance } from "@viz-js/viz"
import { slug } from "github-slugger"
import { defineConfig, type MarkdownOptions } from "vitepress"
import * as Navigation from "../src/Navigation.ts"
import * as Repository from "../src/Repository.ts"
import * as Site from "../src/Site.ts"
import * as StateGraph from "../src/StateGraph.ts"

type Plugin = NonNullable<MarkdownOptions["config"]>

const site = Site.make(Repository.at(fileURLToPath(new URL("../../../", import.meta.url))))
const viz = await instance()

/** A page's links are the repository's. VitePress, which refuses dead ones, gets those of the site. */
const ownLinks: Plugin = (md) => {
  md.core.ruler.push("own-links", ({ env, tokens }) => {
    const origin: unknown = env.frontmatter?.origin
    if (typeof origin !== "string") return
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.attrGet("href")
      // A heading's own link is looked for as it is, when the search's index is made.
      const link = href === null || href.startsWith("#") ? undefined : site.link(origin, href)
      if (token.type === "link_open" && link !== undefined) token.attrSet("href", link)
    }
  })
}

const stateGraphs: Plugin = (md) => {
  const { fence } = md.renderer.rules
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const token = tokens[index]
    if (token?.info.trim() !== "mermaid") return fence?.(tokens, index, ...rest) ?? ""
    // Wider than a page can be: it scrolls, with keys too.
    return `<div class="state-graph" v-pre tabindex="0">${StateGraph.render(viz, StateGraph.parse(token.content))}</div>\n`
  }
}

const linkOf = (path: string) => site.link("", path)?.replace(/(?:index)?\.md$/, "") ?? path

export default defineConfig({
  title: "liveupdate",
  description: "Replaces a host's kernel under its running virtual machines",
  lang: "en",
  srcDir: "build/pages",
  cacheDir: "build/cache",
  head: [["link", { rel: "icon", href: "data:," }]],
  markdown: {
    // As on GitHub, so that a link to a heading leads there in both places.
    anchor: { slugify: slug },
    toc: { slugify: slug },
    headers: { slugify: slug },
    // What is an example of an address is no link.
    linkify: false,
    config: (md) => {
      ownLinks(md)
      stateGraphs(md)
    }
  },
  themeConfig: {
    search: {
      provider: "local",
      options: {
        // Of files that are only shown, nothing is looked for.
        _render: (text, env, md) => {
          const html = md.render(text, env)
          return env.frontmatter?.["search"] === false ? "" : html
        }
      }
    },
    outline: { level: [2, 3], label: "On this page" },
    nav: [
      { text: "Install", link: linkOf("docs/install.md") },
      { text: "Runbook", link: linkOf("docs/runbook.md") },
      { text: "Commands", link: linkOf("docs/cli.md") },
      // Made by TypeDoc, no page of this application.
      { text: "API", link: "/api/index.html", target: "_self" }
    ],
    sidebar: Navigation.sections.map(({ pages, title }) => ({
      text: title,
      items: pages.map(({ path, title }) => ({ text: title, link: linkOf(path) }))
    })),
    docFooter: { prev: "Before", next: "Next" }
  }
})
