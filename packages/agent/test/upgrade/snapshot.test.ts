/** `launcher/snapshot`: which snapshot of `agent resume` will do, and what is left when none can be made. */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Temporary from "../Temporary.ts"

const launcher = (name: string) => fileURLToPath(new URL(`../../launcher/${name}`, import.meta.url))

/** A Node that counts the snapshots it makes: version, then what it does instead of making one. */
const fakeNode = (version: string, instead = "") => `#!/bin/sh
[ "$1" = --version ] && exec echo ${version}
${instead}
echo "$*" >>\${0%/*}/made
while [ "$1" != --snapshot-blob ]; do shift; done
echo of ${version} >"$2"
`

const installed = Effect.map(Temporary.directory, (directory) => {
  const at = (name: string) => join(directory, name)
  const write = (name: string, text: string) => Fs.writeFileSync(at(name), text, { mode: 0o755 })
  Fs.copyFileSync(launcher("snapshot"), at("snapshot"))
  write("node", fakeNode("v24.1.0"))
  write("processor", "processor=' pni avx2'\n")
  write("resume.flags", "--no-opt --single-threaded\n")
  write("resume.cjs", "resume()\n")
  write("agent.flags", "--no-opt\n")
  write("agent.cjs", "(function () {})")
  const blob = join(directory, "state", "resume.blob")
  const run = (...args: ReadonlyArray<string>) => spawnSync(at("snapshot"), args, { encoding: "utf8" })
  const made = () => {
    const { status, stderr } = run("resume", blob)
    assert.strictEqual(status, 0, stderr)
    const lines = Fs.existsSync(at("made")) ? Fs.readFileSync(at("made"), "utf8").trim().split("\n") : []
    Fs.rmSync(at("made"), { force: true })
    return lines
  }
  return { at, write, run, made, blob }
})

describe("launcher/snapshot", () => {
  it.scoped("is made once, and anew for another processor, Node, code or flags, and when it is gone", () =>
    Effect.gen(function* () {
      const { at, blob, made, write } = yield* installed
      const [line, ...more] = made()
      assert.isEmpty(more)
      assert.match(
        line ?? "",
        /^--no-opt --single-threaded --no-warnings --snapshot-blob \S+ --build-snapshot \S+\/resume\.cjs$/
      )
      assert.isEmpty(made())
      for (const [name, text] of [
        ["processor", "processor=' pni avx'\n"],
        ["node", fakeNode("v24.2.0")],
        ["resume.cjs", "resume() // better\n"],
        ["resume.flags", "--no-opt\n"]
      ] as const) {
        write(name, text)
        assert.lengthOf(made(), 1, name)
        assert.isEmpty(made(), name)
      }
      assert.strictEqual(Fs.readFileSync(blob, "utf8"), "of v24.2.0\n")
      Fs.rmSync(blob)
      assert.lengthOf(made(), 1)
      // Nobody else reads or changes what root starts.
      for (const [path, mode] of [
        [blob, 0o600],
        [`${blob}.key`, 0o600],
        [join(blob, ".."), 0o700]
      ] as const)
        assert.strictEqual(Fs.statSync(path).mode & 0o777, mode, path)
      assert.isTrue(Fs.existsSync(at("resume.cjs")))
    })
  )

  it.scoped("one of other code is not left behind when none can be made", () =>
    Effect.gen(function* () {
      const { blob, made, run, write } = yield* installed
      made()
      write("node", fakeNode("v24.2.0", `echo "out of memory" >&2; exit 134`))
      const { status, stderr } = run("resume", blob)
      assert.deepStrictEqual([status, stderr], [134, "out of memory\n"])
      assert.deepStrictEqual(Fs.readdirSync(join(blob, "..")), [])
    })
  )

  it.scoped("who is told to end leaves nothing, neither a file nor a process", () =>
    Effect.gen(function* () {
      const { at, blob, write } = yield* installed
      write(
        "node",
        fakeNode("v24.1.0", `touch "$5"; echo $$ >${at("pid.new")}; mv ${at("pid.new")} ${at("pid")}; exec sleep 60`)
      )
      const watcher = Fs.promises.watch(at("."))
      const child = spawn(at("snapshot"), ["resume", blob], { stdio: "ignore" })
      yield* Effect.promise(async () => {
        for await (const { filename } of watcher) if (filename === "pid") break
      })
      const ended = once(child, "exit")
      child.kill("SIGTERM")
      assert.deepStrictEqual(yield* Effect.promise(() => ended), [143, null])
      const pid = Fs.readFileSync(at("pid"), "utf8").trim()
      assert.isFalse(Fs.existsSync(`/proc/${pid}/exe`))
      assert.deepStrictEqual(Fs.readdirSync(join(blob, "..")), [])
    })
  )

  it.scoped("the agent is installed with both, and for the processor that it is on", () =>
    Effect.gen(function* () {
      const { at, blob, made, run } = yield* installed
      const { status, stderr } = run("install", blob, at("cache"))
      assert.strictEqual(status, 0, stderr)
      assert.strictEqual(Fs.readFileSync(at("cache/agent.processor"), "utf8"), " pni avx2\n")
      assert.strictEqual(Fs.readFileSync(at("cache/agent.blob"), "utf8"), "of v24.1.0\n")
      assert.sameMembers(Fs.readdirSync(at("cache")), ["agent.blob", "agent.processor"])
      // What was made when it was installed is what the first live update takes.
      Fs.rmSync(at("made"))
      assert.isEmpty(made())
    })
  )
})
