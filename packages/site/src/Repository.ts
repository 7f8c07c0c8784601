/**
 * The files of the repository, as pages link to them: paths from its root, with `/` between.
 *
 * @since 0.1.0
 */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"

/**
 * @since 0.1.0
 * @category models
 */
export type Kind = "file" | "directory"

/**
 * @since 0.1.0
 * @category models
 */
export interface Repository {
  readonly kindOf: (path: string) => Kind | undefined
  readonly read: (path: string) => string
  /** Names in a directory; those of directories end with `/`. */
  readonly list: (path: string) => ReadonlyArray<string>
}

/** What is made, fetched, or the version control's. */
const apart = new Set(["node_modules", "dist", "build", "coverage"])

/**
 * @since 0.1.0
 * @category constructors
 */
export const at = (root: string): Repository => ({
  kindOf: (path) => {
    const found = statSync(join(root, path), { throwIfNoEntry: false })
    return found === undefined ? undefined : found.isDirectory() ? "directory" : "file"
  },
  read: (path) => readFileSync(join(root, path), "utf8"),
  list: (path) =>
    readdirSync(join(root, path), { withFileTypes: true })
      .filter(({ name }) => !name.startsWith(".") && !apart.has(name) && !name.endsWith(".tsbuildinfo"))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .sort()
})

/**
 * Every page of Markdown.
 *
 * @since 0.1.0
 * @category getters
 */
export const markdown = (repository: Repository, under = ""): ReadonlyArray<string> =>
  repository.list(under).flatMap((name) => {
    const path = `${under}${name}`
    return name.endsWith("/") ? markdown(repository, path) : name.endsWith(".md") ? [path] : []
  })
