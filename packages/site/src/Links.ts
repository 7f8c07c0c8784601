/**
 * Where links lead, and those that lead nowhere.
 *
 * @since 0.1.0
 */
import { posix } from "node:path"
import * as Markdown from "./Markdown.ts"
import * as Repository from "./Repository.ts"

/**
 * Something of this repository.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  /** From the root; empty for the root itself. */
  readonly path: string
  readonly anchor: string | undefined
}

/**
 * What a link of a page means; nothing of this repository where it has a scheme. A path that leads out of the repository begins with `..`.
 *
 * @since 0.1.0
 * @category parsing
 */
export const resolve = (page: string, href: string): Target | undefined => {
  if (/^[a-z][a-z\d+.-]*:/i.test(href) || href.startsWith("//")) return undefined
  const [, path = "", anchor] = /^([^#]*)(?:#(.*))?$/s.exec(decodeURI(href)) ?? []
  const joined = path === "" ? page : posix.join(posix.dirname(page), path)
  return { path: joined.replace(/^\.?\/?$|\/$/, ""), anchor }
}

/**
 * One line for each link that leads nowhere, with the place where it stands.
 *
 * @since 0.1.0
 * @category getters
 */
export const dead = (repository: Repository.Repository): ReadonlyArray<string> => {
  const pages = new Map(
    Repository.markdown(repository).map((path) => [path, Markdown.parse(repository.read(path))] as const)
  )
  return [...pages].flatMap(([page, { links }]) =>
    links.flatMap(({ href, line }) => {
      const target = resolve(page, href)
      if (target === undefined) return []
      const place = `${page}:${line}: ${href}`
      const kind = target.path.startsWith("..") ? undefined : repository.kindOf(target.path)
      if (kind === undefined) return [`${place}: there is no ${target.path}`]
      if (target.anchor === undefined) return []
      const anchors = pages.get(target.path)?.anchors
      if (anchors === undefined) return [`${place}: ${target.path} is no page, so it has no #${target.anchor}`]
      return anchors.has(target.anchor) ? [] : [`${place}: ${target.path} has no heading #${target.anchor}`]
    })
  )
}
