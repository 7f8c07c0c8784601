/**
 * The Markdown that is made from the code. Paths are from the workspace's root.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as ErrorsPage from "./ErrorsPage.ts"
import type { Api } from "./PublicApi.ts"
import * as SurfacePage from "./SurfacePage.ts"

export interface Page {
  readonly path: string
  readonly text: string
}

export const problems = (api: Api): ReadonlyArray<string> => ErrorsPage.differences(api)

const readme = "packages/sdk/README.md"

export const all = (api: Api, workspace: string): ReadonlyArray<Page> => [
  { path: "docs/errors.md", text: ErrorsPage.page(api) },
  { path: readme, text: SurfacePage.update(readFileSync(join(workspace, readme), "utf8"), api) }
]
