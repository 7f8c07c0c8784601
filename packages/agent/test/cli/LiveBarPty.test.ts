/** The strips at a real pseudo-terminal: what the kernel's line discipline, Node's streams and signals make of them. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll } from "vitest"
import * as Report from "../../src/upgrade/report/Report.ts"
import * as Table from "../../src/upgrade/report/Table.ts"
import * as ProgramBundle from "../e2e/ProgramBundle.ts"
import { recorded, threeVms } from "../report/runs.ts"
import * as Temporary from "../Temporary.ts"
import * as Pty from "./Pty.ts"

const directory = Fs.mkdtempSync(join(tmpdir(), "liveupdate-test-"))
const program = join(directory, "liveBar.mjs")
beforeAll(async () => {
  const source = new URL("programs/liveBar.ts", import.meta.url)
  Fs.writeFileSync(program, await Effect.runPromise(ProgramBundle.make(source)))
}, 60_000)
afterAll(() => Fs.rmSync(directory, { recursive: true }))

const lines = recorded.trim().split("\n")
const after = (step: string, status: string) =>
  1 + lines.findIndex((line) => line.includes(`"step":"${step}","status":"${status}"`))

/** The program at a terminal, and a pipe into it. */
const open = (environment: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const pipe = join(yield* Temporary.directory, "events")
    execFileSync("mkfifo", [pipe])
    const pty = yield* Pty.open([process.execPath, program, pipe], { columns: 100, rows: 24, environment })
    const fd = yield* Effect.acquireRelease(
      // Waits for the program, so not in this thread.
      Effect.promise(() => Fs.promises.open(pipe, "w")),
      (file) => Effect.promise(() => file.close())
    )
    const tell = (...lines: ReadonlyArray<string>) =>
      Effect.promise(() => fd.write(lines.map((line) => `${line}\n`).join("")))
    return { pty, tell }
  })

const shows = (what: RegExp) => (text: ReadonlyArray<string>) => text.some((line) => what.test(line))

describe("the strips at a pseudo-terminal", { timeout: 60_000 }, () => {
  it.scopedLive("a run from its first event to its outcome, with a warning, in a window that is made narrower", () =>
    Effect.gen(function* () {
      const { pty, tell } = yield* open()
      yield* tell(...lines.slice(0, after("prepare", "started")))
      yield* pty.until(shows(/^The guests run, .*: prepare$/))
      yield* tell(...lines.slice(after("prepare", "started"), after("jump", "started")), "the disk is nearly full")
      yield* pty.until(shows(/^web-1 +░+▓+░+█+ .* jump$/))
      const [warning] = (yield* pty.until(shows(/the disk is nearly full/))).filter((line) => line.startsWith("{"))
      assert.include(warning, '"level":40')
      yield* pty.resize(62)
      const narrow = yield* pty.until((text) => shows(/^resized to 62$/)(text) && shows(/^web-1 .{30,50} jump$/)(text))
      assert.strictEqual(narrow.filter((line) => line.startsWith("From the first pause on")).length, 1)
      yield* tell(...lines.slice(after("jump", "started")))
      assert.strictEqual(yield* pty.ended, 0)
      const picture = Table.picture(Report.make("r", threeVms)).filter((line) => line !== "")
      assert.deepStrictEqual(
        pty
          .text()
          .filter((line) => line !== "")
          .slice(-picture.length),
        picture
      )
    })
  )

  it.scopedLive("^C: what was drawn last stays, below what is said about it, and the terminal is as it was", () =>
    Effect.gen(function* () {
      const { pty, tell } = yield* open()
      yield* tell(...lines.slice(0, after("save-state", "started")))
      yield* pty.until(shows(/^cache-1 .* save-state|^web-1 .* save-state/))
      yield* pty.type("\u0003")
      assert.strictEqual(yield* pty.ended, 130)
      const text = pty.text()
      assert.strictEqual(text.filter((line) => line.startsWith("agent: SIGINT: stopping")).length, 1)
      assert.match(text.at(-1) ?? "", /^█ kernel {2}▓ VMM {2}░ ours/)
      assert.strictEqual(text.filter((line) => line.startsWith("█ kernel")).length, 1)
      // Nothing was changed that would have to be changed back: only colours, each with its end, and the cursor's ways.
      const controls = [...pty.written().matchAll(/(?![\r\n])\p{Cc}(\[[^A-Za-z]*[A-Za-z]|.)/gu)].map(
        ([sequence]) => sequence
      )
      assert.deepStrictEqual(
        controls.filter((sequence) => !/^\p{Cc}\[(\d*[AJK]|(3[234])?m)$/u.test(sequence)),
        []
      )
    })
  )

  it.scopedLive("only lines where something says that nothing is to be drawn", () =>
    Effect.forEach(
      [{ NO_COLOR: "1" }, { CI: "true" }, { TERM: "dumb" }],
      (environment) =>
        Effect.gen(function* () {
          const { pty, tell } = yield* open(environment)
          yield* tell(...lines)
          assert.strictEqual(yield* pty.ended, 0)
          assert.include(pty.text(), "host: jumping …")
          assert.notMatch(pty.written(), /(?![\r\n])\p{Cc}|[█▓░]/u)
        }),
      { concurrency: "unbounded" }
    )
  )
})
