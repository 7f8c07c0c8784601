/**
 * The agent's Debian package, which QEMU hosts are made with as well: that of the workspace, built when something in it is newer.
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { PreconditionFailed } from "../upgrade/UpgradeError.ts"

// The same from dist/cli as from src/cli, and one folder less in dist/program.
const agent = Path.resolve(
  fileURLToPath(new URL(".", import.meta.url)).replace(/\/(dist\/program|(src|dist)\/cli)\/$/, "/")
)
const workspace = Path.resolve(agent, "../..")

/** Whatever a package is made of (tools/PackageTree.ts). */
const madeOf = ["dist/bundle", "debian", "man", "tools", "package.json"].map((name) => Path.join(agent, name))

/** When a file in it was last written; a directory's own time also changes with what `scripts/run-ts.mjs` puts there for a moment. */
const newest = (path: string): number =>
  Fs.statSync(path).isDirectory()
    ? Math.max(
        ...Fs.readdirSync(path)
          .filter((name) => !name.startsWith(".run-"))
          .map((name) => newest(Path.join(path, name)))
      )
    : Fs.statSync(path).mtimeMs

/** The package, if it is newer than all that it is made of. */
const upToDate = Effect.try(() => {
  const { version }: { readonly version: string } = JSON.parse(
    Fs.readFileSync(Path.join(agent, "package.json"), "utf8")
  )
  const file = Path.join(agent, `build/liveupdate-agent_${version}_amd64.deb`)
  return Fs.statSync(file).mtimeMs >= Math.max(...madeOf.map(newest)) ? file : undefined
}).pipe(Effect.orElseSucceed(() => undefined))

/** `npm run package`, which looks at contents. */
const build = Effect.async<string, PreconditionFailed>((resume) => {
  const child = execFile(
    process.execPath,
    ["scripts/run-ts.mjs", "packages/agent/tools/package.ts"],
    { cwd: workspace, maxBuffer: 64 << 20 },
    (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.succeed(Path.join(workspace, stdout.trim()))
          : Effect.fail(
              new PreconditionFailed({
                what: `The agent's package can't be built: ${stderr.trim() === "" ? error.message : stderr.trim()}`,
                next: "Hosts are started from the workspace: run npm run build there, then npm run package"
              })
            )
      )
  )
  return Effect.sync(() => void child.kill())
})

/**
 * Path of the package.
 *
 * @since 0.1.0
 * @category operations
 */
export const file: Effect.Effect<string, PreconditionFailed> = Effect.flatMap(upToDate, (found) =>
  found === undefined ? build : Effect.succeed(found)
).pipe(Effect.withSpan("AgentPackage.file"))
