/**
 * The tree that the Debian package is built from: what `scripts/bundle.mjs` made, sorted by where it goes, and packages/agent/debian beside it.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Notices from "./Notices.ts"

/** Where things are in the workspace. */
export interface Sources {
  readonly workspace: string
  readonly agent: string
  readonly bundle: string
}

export const sourcesIn = (workspace: string): Sources => ({
  workspace,
  agent: Path.join(workspace, "packages/agent"),
  bundle: Path.join(workspace, "packages/agent/dist/bundle")
})

const systemd = /\.(service|path|slice|preset|catalog)$/

/** Folders of the agent's that the tree has as they are. */
const asTheyAre = ["debian", "man", "grafana", "prometheus"]

const filesIn = (directory: string): ReadonlyArray<string> =>
  Fs.readdirSync(directory, { recursive: true, encoding: "utf8" })
    // What scripts/run-ts.mjs runs lies beside its source.
    .filter((file) => !file.startsWith(".run-") && Fs.statSync(Path.join(directory, file)).isFile())
    .sort()

/** Everything that the package depends on, as one hash. */
export const hash = ({ agent, bundle }: Sources): string => {
  const all = createHash("sha256")
  for (const directory of [bundle, ...[...asTheyAre, "tools"].map((name) => Path.join(agent, name))])
    for (const file of filesIn(directory)) {
      const path = Path.join(directory, file)
      const content = createHash("sha256").update(Fs.readFileSync(path)).digest("hex")
      all.update(`${Path.basename(directory)}/${file} ${Fs.statSync(path).mode & 0o777} ${content}\n`)
    }
  return all.digest("hex")
}

/** zsh and bash find a command's completions by the file's name. */
const completions = { bash: "agent", zsh: "_agent", fish: "agent.fish" } as const

export const write = ({ workspace, agent, bundle }: Sources, tree: string): void => {
  for (const directory of asTheyAre)
    Fs.cpSync(Path.join(agent, directory), Path.join(tree, directory), { recursive: true })
  for (const directory of ["bundle", "systemd", "completions", "doc", "etc"]) Fs.mkdirSync(Path.join(tree, directory))
  // Node is a link.
  for (const file of Fs.readdirSync(bundle))
    Fs.cpSync(Path.join(bundle, file), Path.join(tree, systemd.test(file) ? "systemd" : "bundle", file), {
      dereference: true
    })
  Fs.renameSync(Path.join(tree, "debian/agent.toml"), Path.join(tree, "etc/agent.toml"))
  for (const [shell, file] of Object.entries(completions))
    Fs.writeFileSync(
      Path.join(tree, "completions", file),
      execFileSync(Path.join(bundle, "node"), [Path.join(bundle, "launch.cjs"), "--completions", shell])
    )
  Notices.write(workspace, "bundle", Path.join(tree, "doc"))
}
