/** The npm packages as they would be published, and an empty folder outside the workspace that they are installed into. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

export const workspace = fileURLToPath(new URL("../../../..", import.meta.url))

export const published = ["sdk", "qemu-host", "agent"] as const
export type Published = (typeof published)[number]

/** What a program left. */
export interface Ended {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end. */
export const run = (
  file: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv }
): Promise<Ended> =>
  new Promise((resolve, reject) => {
    execFile(file, [...args], { ...options, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error === null) resolve({ status: 0, stdout, stderr })
      else if (typeof error.code === "number") resolve({ status: error.code, stdout, stderr })
      else reject(error)
    })
  })

/** As `run`, of what has to succeed. */
const runWell: typeof run = async (file, args, options) => {
  const ended = await run(file, args, options)
  if (ended.status !== 0) throw new Error(`${file} ${args.join(" ")}: ${ended.status}\n${ended.stdout}${ended.stderr}`)
  return ended
}

export interface Packed {
  /** The folder; its `node_modules` has all of them. */
  readonly folder: string
  readonly tarballs: Readonly<Record<Published, string>>
  /** Runs a program in the folder. */
  readonly run: (file: string, ...args: ReadonlyArray<string>) => Promise<Ended>
  readonly remove: () => void
}

const read = (file: string): string => Fs.readFileSync(file, "utf8")

export const make = async (): Promise<Packed> => {
  const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveupdate-packed-"))
  const folder = Path.join(directory, "consumer")
  Fs.mkdirSync(folder)
  // As a consumer's: nothing of the workspace, nor of the package manager that runs the tests.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(config_(?!registry)|package_|lifecycle_)/.test(name))
  )
  const { packageManager, version }: { readonly packageManager: string; readonly version: string } = JSON.parse(
    read(Path.join(workspace, "package.json"))
  )
  await runWell(
    "npx",
    [
      "--yes",
      packageManager,
      ...published.flatMap((name) => ["--filter", `@liveupdate/${name}`]),
      "pack",
      "--pack-destination",
      directory
    ],
    { cwd: workspace, env }
  )
  const tarball = (name: Published) => Path.join(directory, `liveupdate-${name}-${version}.tgz`)
  const tarballs = { sdk: tarball("sdk"), "qemu-host": tarball("qemu-host"), agent: tarball("agent") }
  Fs.writeFileSync(Path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  const inFolder = { cwd: folder, env }
  await runWell("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...Object.values(tarballs)], inFolder)
  return {
    folder,
    tarballs,
    run: (file, ...args) => run(file, args, inFolder),
    remove: () => Fs.rmSync(directory, { recursive: true })
  }
}

/** Every file of an installed package, relative to it. */
export const filesOf = ({ folder }: Packed, name: Published): ReadonlyArray<string> => {
  const directory = Path.join(folder, "node_modules/@liveupdate", name)
  return Fs.readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => Fs.statSync(Path.join(directory, file)).isFile())
    .sort()
}
