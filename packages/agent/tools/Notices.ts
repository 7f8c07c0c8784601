/** The two files that say what is inside: THIRD-PARTY for people, sbom.cdx.json for programs. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Licenses from "./Licenses.ts"
import * as Sbom from "./Sbom.ts"

export const files = ["THIRD-PARTY", "sbom.cdx.json"] as const

/** Fails when something is bundled that must not be shipped. */
export const write = (workspace: string, what: "bundle" | "program", directory: string): void => {
  const bom = Sbom.make(workspace, what)
  const objections = Licenses.objections(bom)
  if (objections.length > 0) throw new Error(`what is bundled can't be shipped:\n${objections.join("\n")}`)
  Fs.writeFileSync(Path.join(directory, "THIRD-PARTY"), Licenses.thirdParty(bom))
  Fs.writeFileSync(Path.join(directory, "sbom.cdx.json"), Sbom.render(bom))
}
