// Everything a fresh machine needs before the README's two commands can run; quick when it is all there.
//
//   node scripts/setup.mjs             workspace: dependencies at the locked versions, build
//   node scripts/setup.mjs --host      and the Debian packages that build and run the QEMU host, and the agent's own one, which is on it
//   node scripts/setup.mjs --browser   and the browser that tests look at reports with, unless LIVEUPDATE_CHROMIUM names one
//   node scripts/setup.mjs --prometheus  and the Prometheus that tests have metrics scraped by, unless LIVEUPDATE_PROMETHEUS names one
//   node scripts/setup.mjs --lintian   and lintian, which looks at the Debian package
//
// Exit code 5: something is missing that only the person at the keyboard can put right; the message says what.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { userInfo } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const PNPM = "pnpm@10.34.9"
const root = dirname(dirname(fileURLToPath(import.meta.url)))

const say = (text) => process.stderr.write(`setup: ${text}\n`)
const refuse = (text) => {
  process.stderr.write(`setup: ${text}\n`)
  process.exit(5)
}

/** Long work keeps quiet unless it fails: its output is of no use to somebody who waits for a demo. */
const work = (what, command, args, options = {}) => {
  const began = process.hrtime.bigint()
  say(`${what} …`)
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 256 << 20, ...options })
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout ?? ""}${result.stderr ?? ""}`)
    process.stderr.write(
      `setup: failed: ${command} ${args.join(" ")}${result.error ? ` (${result.error.message})` : ""}\n`
    )
    process.exit(1)
  }
  say(`${what}: done in ${(Number(process.hrtime.bigint() - began) / 1e9).toFixed(1)} s`)
}

const checkNode = () => {
  const [major, minor] = process.versions.node.split(".").map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    refuse(`Node ${process.versions.node} is too old: install Node 20.19 or later`)
}

const installDependencies = () => {
  const stamp = join(root, "node_modules/.liveupdate-lock")
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "pnpm-lock.yaml")))
    .digest("hex")
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return
  work("installing dependencies", "npx", ["--yes", PNPM, "install", "--frozen-lockfile"], {
    env: { ...process.env, CI: "true" }
  })
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, lock)
}

const build = () => {
  work("compiling", process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"])
  work("bundling the agent", process.execPath, [join(root, "scripts/bundle.mjs")])
}

const isInstalled = (name) =>
  spawnSync("dpkg-query", ["-W", "-f", "${db:Status-Status}", name], { encoding: "utf8" }).stdout === "installed"

const asRoot = process.getuid() === 0

const installPackages = (what, wanted) => {
  if (spawnSync("dpkg-query", ["--version"]).status !== 0)
    refuse(`${what} Debian packages, and this is no Debian system. Needed: ${wanted.join(" ")}`)
  const missing = wanted.filter((name) => !isInstalled(name))
  if (missing.length > 0) install(missing)
}

const installHost = () => {
  const lists = JSON.parse(readFileSync(join(root, "packages/qemu-host/debian-packages.json"), "utf8"))
  installPackages("the QEMU host, and the agent's package on it, are built with", [
    ...lists.packages,
    ...(asRoot ? [] : lists.unprivileged)
  ])
  if (!asRoot) checkSubordinateIds()
}

const installBrowser = () => {
  if (process.env.LIVEUPDATE_CHROMIUM === undefined)
    installPackages("tests look at reports with a browser from", ["chromium-headless-shell"])
}

/** Unpacked, not installed: nothing of it runs on this machine but for tests, and it needs no root. */
const unpackPrometheus = () => {
  const wanted = ["prometheus", "promtool"]
  const inside = (directory) => wanted.every((name) => existsSync(join(directory, name)))
  const unpacked = join(root, "packages/agent/build/prometheus")
  if (process.env.LIVEUPDATE_PROMETHEUS !== undefined || inside("/usr/bin") || inside(join(unpacked, "usr/bin"))) return
  if (spawnSync("dpkg-deb", ["--version"]).status !== 0)
    refuse(
      "metrics are scraped by Debian's Prometheus, and this is no Debian system: LIVEUPDATE_PROMETHEUS names a directory with prometheus and promtool"
    )
  const download = join(unpacked, "package")
  rmSync(unpacked, { recursive: true, force: true })
  mkdirSync(download, { recursive: true })
  const get = () => spawnSync("apt-get", ["download", "prometheus"], { cwd: download, encoding: "utf8" })
  if (get().status !== 0) {
    refreshLists(["prometheus"])
    const { status, stderr } = get()
    if (status !== 0) refuse(`Debian's package prometheus can't be had:\n${stderr}`)
  }
  work("unpacking prometheus", "dpkg-deb", ["-x", join(download, readdirSync(download)[0]), unpacked])
  rmSync(download, { recursive: true })
}

/** A root file system has many owners; a user who isn't root needs ids for them. */
const checkSubordinateIds = () => {
  const { username, uid } = userInfo()
  for (const file of ["/etc/subuid", "/etc/subgid"]) {
    const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n") : []
    const count = lines
      .map((line) => line.split(":"))
      .filter(([who]) => who === username || who === String(uid))
      .reduce((sum, [, , ids]) => sum + Number(ids), 0)
    if (count < 65536)
      refuse(
        `${username} has ${count} ids in ${file}, and the QEMU host's root file system takes 65536; give some and run the command again:\n\n  sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${username}\n`
      )
  }
}

/** Fails where nobody may. */
const refreshLists = (missing) => {
  if (!asRoot && spawnSync("sudo", ["-n", "true"]).status !== 0)
    refuse(
      `these Debian packages are missing; install them and run the command again:\n\n  sudo apt-get install ${missing.join(" ")}\n`
    )
  const [command, prefix] = asRoot ? ["apt-get", []] : ["sudo", ["-n", "apt-get"]]
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  work("refreshing the package lists", command, [...prefix, "update"], { env })
  return { command, prefix, env }
}

const install = (missing) => {
  const { command, prefix, env } = refreshLists(missing)
  work(
    `installing ${missing.join(" ")}`,
    command,
    [...prefix, "install", "-y", "--no-install-recommends", ...missing],
    { env }
  )
}

checkNode()
installDependencies()
build()
if (process.argv.includes("--host")) {
  installHost()
  work("making the agent's package", process.execPath, [
    join(root, "scripts/run-ts.mjs"),
    "packages/agent/tools/package.ts"
  ])
}
if (process.argv.includes("--browser")) installBrowser()
if (process.argv.includes("--prometheus")) unpackPrometheus()
if (process.argv.includes("--lintian")) installPackages("the Debian package is looked at with", ["lintian"])
