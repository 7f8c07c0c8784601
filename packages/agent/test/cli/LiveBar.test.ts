import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as LiveBar from "../../src/cli/LiveBar.ts"
import type * as Event from "../../src/upgrade/Event.ts"
import * as Report from "../../src/upgrade/report/Report.ts"
import * as Table from "../../src/upgrade/report/Table.ts"
import * as TimeAxis from "../../src/upgrade/TimeAxis.ts"
import { rolledBack, threeVms } from "../report/runs.ts"
import { Screen } from "./Screen.ts"

/** A terminal whose screen can be looked at, and what was written to it. */
class Terminal implements LiveBar.Terminal {
  readonly screen: Screen
  written = ""
  constructor(columns: number, rows: number) {
    this.screen = new Screen(columns, rows)
  }
  get columns() {
    return this.screen.columns
  }
  get rows() {
    return this.screen.rows
  }
  write(chunk: Uint8Array | string, encoding?: unknown, written?: () => void): boolean {
    const text = Buffer.from(chunk).toString()
    this.written += text
    this.screen.write(text)
    if (typeof encoding === "function") encoding()
    written?.()
    return true
  }
}

/** Tells the events to the listener when they happened, or sooner where nothing did for long, and lets it draw in between. */
const happen = (listener: (event: Event.Event) => void, events: ReadonlyArray<Event.Event>) =>
  Effect.gen(function* () {
    const { at } = TimeAxis.make(events)
    let now = at(events[0] ?? assert.fail("no event")) ?? 0
    for (const event of events) {
      const time = at(event) ?? now
      if (time > now) yield* TestClock.adjust(Math.min(300, time - now))
      now = Math.max(now, time)
      listener(event)
    }
  })

const table = (events: ReadonlyArray<Event.Event>) =>
  Table.picture(Report.make(events[0]?.run ?? "", events)).map((line) => line.trimEnd())

const steps = (what: (event: Event.Event) => boolean) => {
  const end = threeVms.findIndex(what)
  return threeVms.slice(0, end + 1)
}

const isStep = (step: Event.Step, status: string) => (event: Event.Event) =>
  event.type === "step" && event.step === step && event.status === status

describe("the strips on a terminal", { timeout: 30_000 }, () => {
  it.scoped("stand below the lines of the steps, each of them once, and are those of agent report at the end", () =>
    Effect.gen(function* () {
      const terminal = new Terminal(100, 24)
      yield* happen(yield* LiveBar.make(terminal), threeVms)
      const lines = terminal.screen.text
      const picture = table(threeVms)
      while (picture.at(-1) === "") picture.pop()
      assert.deepStrictEqual(lines.slice(-picture.length), picture)
      const above = lines.slice(0, -picture.length)
      assert.strictEqual(above[0], "host: checked the host, the VMs and the next kernel")
      assert.strictEqual(new Set(above).size, above.length)
      assert.include(above, "host: jumping …")
      assert.include(above, "cache-1: finished the session")
      assert.notMatch(above.join("\n"), /[█▓░]/)
    })
  )

  it.scoped("are drawn as time goes on, in their colours, without hiding the cursor", () =>
    Effect.gen(function* () {
      const terminal = new Terminal(100, 24)
      const listener = yield* LiveBar.make(terminal)
      yield* happen(listener, steps(isStep("jump", "started")))
      const strip = () => /^web-1 +([█▓░]+)/m.exec(terminal.screen.text.join("\n"))?.[1] ?? ""
      yield* TestClock.adjust(600)
      const before = strip()
      yield* TestClock.adjust(600)
      assert.isAbove(strip().length, before.length)
      assert.isTrue(strip().startsWith(before))
      assert.include(terminal.written, "\u001b[34m█")
      assert.notInclude(terminal.written, "\u001b[?")
      // A frame that changes nothing writes nothing, one that changes a line doesn't write the others.
      const written = terminal.written.length
      yield* TestClock.adjust(100)
      assert.notInclude(terminal.written.slice(written), "█ \u001b[m kernel")
    })
  )

  it.scoped("what others write comes above, whole lines of it", () =>
    Effect.gen(function* () {
      const terminal = new Terminal(100, 24)
      const listener = yield* LiveBar.make(terminal)
      yield* happen(listener, steps(isStep("save-state", "started")))
      let told = 0
      const bytes = Buffer.from("a warning: größer\nhalf of")
      terminal.write(bytes.subarray(0, 14))
      terminal.write(bytes.subarray(14), () => (told += 1))
      assert.include(terminal.screen.text, "a warning: größer")
      assert.notInclude(terminal.screen.text.join("\n"), "half of")
      assert.match(terminal.screen.text.at(-1) ?? "", /^█ kernel/)
      terminal.write(" a line\n", "utf8", () => (told += 1))
      assert.include(terminal.screen.text, "half of a line")
      assert.match(terminal.screen.text.at(-1) ?? "", /^█ kernel/)
      assert.strictEqual(told, 2)
    })
  )

  it.effect("a scope that ends before the run does leaves the last of them, and gives the terminal back", () =>
    Effect.gen(function* () {
      const terminal = new Terminal(100, 24)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const listener = yield* LiveBar.make(terminal)
          yield* happen(listener, steps(isStep("save-state", "started")))
          yield* TestClock.adjust(100)
          terminal.write("no end of line")
        })
      )
      const before = terminal.screen.text
      assert.match(before.at(-2) ?? "", /^█ kernel/)
      assert.strictEqual(before.at(-1), "no end of line")
      terminal.write(", and more\n")
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(terminal.screen.text, [...before.slice(0, -1), "no end of line, and more"])
    })
  )

  it.scoped("follow the width of the terminal, and leave nothing behind when it has become narrower", () =>
    Effect.gen(function* () {
      const terminal = new Terminal(100, 24)
      const listener = yield* LiveBar.make(terminal)
      yield* happen(listener, steps(isStep("jump", "started")))
      for (const columns of [61, 45, 20, 12, 130]) {
        terminal.screen.resize(columns, 24)
        yield* TestClock.adjust(200)
        const lines = terminal.screen.text
        const bar = lines.slice(lines.findIndex((line) => line.startsWith("From")))
        assert.strictEqual(lines.filter((line) => line.startsWith("From")).length, 1, lines.join("\n"))
        for (const line of bar) assert.isBelow(line.length, columns)
        assert.isAtMost(bar.length, 5)
      }
    })
  )

  it.scoped("a run after a run begins anew", () =>
    Effect.gen(function* () {
      const terminal = new Terminal(100, 24)
      const listener = yield* LiveBar.make(terminal)
      yield* happen(listener, steps(isStep("save-state", "started")))
      yield* happen(listener, rolledBack())
      const picture = table(rolledBack())
      while (picture.at(-1) === "") picture.pop()
      assert.deepStrictEqual(terminal.screen.text.slice(-picture.length), picture)
    })
  )

  it.scoped("what can't be drawn keeps nobody from his work: the lines are there", () =>
    Effect.gen(function* () {
      const terminal = new Terminal(100, 24)
      const listener = yield* LiveBar.make(
        new Proxy(terminal, {
          get: (target, name, receiver) =>
            name === "rows" ? assert.fail("no rows") : Reflect.get(target, name, receiver)
        })
      )
      yield* happen(listener, steps(isStep("jump", "started")))
      yield* TestClock.adjust(100)
      assert.strictEqual(terminal.screen.text.at(-1), "host: jumping …")
    })
  )

  it("only where somebody sees them, and nothing says otherwise", () => {
    const terminal = { isTTY: true }
    const environment = { TERM: "xterm-256color" }
    assert.isTrue(LiveBar.isWanted("human", terminal, environment))
    assert.isTrue(LiveBar.isWanted("human", terminal, { ...environment, NO_COLOR: "", CI: "" }))
    assert.isFalse(LiveBar.isWanted("ndjson", terminal, environment))
    assert.isFalse(LiveBar.isWanted("human", {}, environment))
    for (const variables of [{ NO_COLOR: "1" }, { CI: "true" }, { TERM: "dumb" }, { TERM: undefined }])
      assert.isFalse(LiveBar.isWanted("human", terminal, { ...environment, ...variables }), JSON.stringify(variables))
  })
})
