/**
 * What a page of Markdown says of itself: its title, the names of its headings, and where its links lead.
 *
 * @since 0.1.0
 */
import GithubSlugger from "github-slugger"
import MarkdownIt from "markdown-it"

/**
 * @since 0.1.0
 * @category models
 */
export interface Link {
  /** As it stands there. */
  readonly href: string
  /** From 1 on: the first line of the block that the link is in. */
  readonly line: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Page {
  readonly title: string
  /** What can stand behind a `#`. */
  readonly anchors: ReadonlySet<string>
  readonly links: ReadonlyArray<Link>
}

const parser = new MarkdownIt({ html: true })

type Token = ReturnType<MarkdownIt["parse"]>[number]

/** As it is read: without the marks. */
const plain = (inline: Token | undefined): string =>
  (inline?.children ?? [])
    .filter(({ type }) => type === "text" || type === "code_inline")
    .map(({ content }) => content)
    .join("")

const idsOfHtml = (html: string): ReadonlyArray<string> =>
  [...html.matchAll(/<\w[^>]*?\s(?:id|name)="([^"]+)"/g)].map(([, id = ""]) => id)

/**
 * @since 0.1.0
 * @category parsing
 */
export const parse = (text: string): Page => {
  const tokens = parser.parse(text, {})
  const slugger = new GithubSlugger()
  const anchors = new Set<string>()
  const links: Array<Link> = []
  let title = ""
  for (const [index, token] of tokens.entries()) {
    if (token.type === "heading_open") {
      const words = plain(tokens[index + 1])
      if (title === "" && token.tag === "h1") title = words
      anchors.add(slugger.slug(words))
    }
    if (token.type === "html_block") for (const id of idsOfHtml(token.content)) anchors.add(id)
    // What is in a cell of a table has no line of its own: the table's.
    const line = (token.map ?? tokens.findLast((other, at) => at < index && other.map !== null)?.map)?.[0] ?? 0
    for (const child of token.children ?? []) {
      if (child.type === "html_inline") for (const id of idsOfHtml(child.content)) anchors.add(id)
      const href = child.attrGet("href") ?? child.attrGet("src")
      if (href !== null) links.push({ href, line: line + 1 })
    }
  }
  return { title, anchors, links }
}
