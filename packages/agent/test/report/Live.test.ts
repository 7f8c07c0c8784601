import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import type * as Event from "../../src/upgrade/Event.ts"
import * as Live from "../../src/upgrade/report/Live.ts"
import * as Report from "../../src/upgrade/report/Report.ts"
import * as Strip from "../../src/upgrade/report/Strip.ts"
import * as Table from "../../src/upgrade/report/Table.ts"
import * as TimeAxis from "../../src/upgrade/TimeAxis.ts"
import { begun, cutShort, event, rolledBack, threeVms } from "./runs.ts"

/** Heard of when they happened, by a clock that began with the run; `late` milliseconds later what the next kernel says. */
const heardOf = (events: ReadonlyArray<Event.Event>, late = 0): ReadonlyArray<Live.Heard> => {
  const { at } = TimeAxis.make(events)
  const [first] = events
  const zero = first === undefined ? 0 : (at(first) ?? 0)
  return events.map((event) => ({ event, at: (at(event) ?? zero) - zero + (event.boot === first?.boot ? 0 : late) }))
}

const recorded = heardOf(threeVms)

/** Of the run up to an event that ends with this step. */
const upTo = (step: Event.Step, status: "started" | "done", vm?: string, heard = recorded) =>
  heard.slice(
    0,
    1 +
      heard.findIndex(
        ({ event }) => event.type === "step" && event.step === step && event.status === status && event.vm === vm
      )
  )

const at = (heard: ReadonlyArray<Live.Heard>, after: number, columns = 100, rows = 24) =>
  Live.lines(heard, { now: (heard.at(-1)?.at ?? 0) + after, columns, rows })

describe("a report while its run goes on", () => {
  it("before the first pause: what the host is at, and each VM", () => {
    assert.deepStrictEqual(at(upTo("prepare", "started"), 4000), [
      "The guests run, 4.2 s: prepare",
      "web-1    runs",
      "db-1     runs",
      "cache-1  runs"
    ])
    assert.include(at(upTo("preserve-running", "started", "web-1"), 0), "web-1    preserve-running")
  })

  it("a strip for each VM from its pause on, until now, and who is at work", () => {
    assert.deepStrictEqual(at(upTo("save-state", "started", "cache-1"), 600), [
      "From the first pause on, 0.9 s",
      "web-1    ░░░░░░░░░░░░▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓          887 ms  save-state",
      "db-1     ░░░░░░░░░░░░░▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓          880 ms  save-state",
      "cache-1   ░░░░░░░░░░░░░▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓          874 ms  save-state",
      "█ kernel  ▓ VMM  ░ ours  a strip is 1 s long"
    ])
  })

  it("in the jump the kernel is at work, with nobody there to say so", () => {
    const lines = at(upTo("jump", "started"), 1200)
    assert.strictEqual(lines[0], "From the first pause on, 2.9 s: jump")
    for (const line of lines.slice(1, 4)) assert.match(line, /░█{20} +28\d\d ms {2}jump$/)
  })

  it("after it, before the clocks are joined: the next kernel's moments are placed by when they were heard of", () => {
    // The log is reached only when the host is up: all of it comes at once then, but for what is still to happen.
    const verified = upTo("verify", "started", "web-1", heardOf(threeVms, 30))
    const lines = at(verified, 0)
    const report = Report.make("r", threeVms)
    for (const { blackout, id } of report.vms) {
      const line = lines.find((line) => line.startsWith(id)) ?? assert.fail(`no ${id}`)
      const shown = Number(/(\d+) ms {2}(runs|verify)$/.exec(line)?.[1])
      assert.closeTo(shown, (blackout?.end ?? 0) - (blackout?.begin ?? 0), 40, line)
    }
  })

  it("a VM that runs again has its blackout, one that doesn't its blackout so far", () => {
    const lines = at(upTo("resume", "done", "web-1"), 50)
    assert.match(lines[1] ?? "", /^web-1 .* 57\d\d ms {2}runs$/)
    assert.match(lines[2] ?? "", /^db-1 .* 57\d\d ms {2}load-state$/)
  })

  it("what was undone runs again", () => {
    const lines = at(heardOf(rolledBack()).slice(0, -1), 500)
    assert.match(lines[1] ?? "", /^a .* 300 ms {2}runs$/)
  })

  it("what stays is what agent report draws", () => {
    const whole = Table.render(Report.make(threeVms[0]?.run ?? "", threeVms)).split("\n")
    const last = Live.last(recorded)
    assert.isAbove(last.length, 8)
    assert.deepStrictEqual(whole.slice(4, 4 + last.length), last)
    assert.deepStrictEqual(Live.last(heardOf(begun)), [])
  })

  it("as many VMs as there is room for", () => {
    const vms = Array.from({ length: 40 }, (_, index) => `vm-${index}`)
    const heard = heardOf([
      event("old", 900, { step: "preflight", status: "done", detail: { from: "a", to: "b", vms } }),
      ...vms.map((vm) => event("old", 1000, { step: "pause", status: "started", vm }))
    ])
    const lines = at(heard, 100, 80, 10)
    assert.strictEqual(lines.length, 10)
    assert.strictEqual(lines.at(-2), "and 33 more")
    assert.include(lines.at(-1), Strip.characters.kernel)
  })
})

const runs = [
  threeVms,
  rolledBack(),
  cutShort,
  begun,
  rolledBack("a-name-that-is-longer-than-there-is-room-for\u001b[2J")
]

const moments = FastCheck.record({
  run: FastCheck.integer({ min: 0, max: runs.length - 1 }),
  heard: FastCheck.double({ min: 0, max: 1, noNaN: true }),
  late: FastCheck.double({ min: 0, max: 10_000, noNaN: true }),
  after: FastCheck.double({ min: 0, max: 5_000_000, noNaN: true }),
  columns: FastCheck.integer({ min: 1, max: 200 }),
  rows: FastCheck.integer({ min: 1, max: 60 })
})

/** The characters of a strip, from its first one on. */
const strips = (lines: ReadonlyArray<string>) =>
  lines.flatMap((line) => (/^\S+ +([█▓░]+)/.exec(line) === null ? [] : [line]))

describe("any moment of any run", () => {
  it.prop("fits where it is drawn, and says nothing that can't be said", [moments], ([{ run, ...moment }]) => {
    const events = runs[run] ?? []
    const heard = heardOf(events, moment.late).slice(0, Math.ceil(moment.heard * events.length))
    const now = (heard.at(-1)?.at ?? 0) + moment.after
    const lines = Live.lines(heard, { now, columns: moment.columns, rows: moment.rows })
    assert.isAtMost(lines.length, moment.rows)
    for (const line of lines) {
      assert.isAtMost(line.length, moment.columns, line)
      assert.notMatch(line, /NaN|Infinity|undefined|\p{Cc}|(^|\s)-\d/u)
    }
    const painted = Live.lines(heard, { now, ...moment, paint: (who, text) => `<${who}>${text}</>` })
    assert.deepStrictEqual(
      painted.map((line) => line.replaceAll(/<[^>]*>/g, "")),
      lines
    )
  })

  it.prop(
    "what is drawn stays where it is as time goes on, and a paused guest's strip gets longer",
    [moments, FastCheck.double({ min: 0, max: 400, noNaN: true })],
    ([{ run, heard: share, after }, more]) => {
      const events = runs[run] ?? []
      const heard = heardOf(events).slice(0, Math.ceil(share * events.length))
      // A strip's length is another one only when there is no more room in it.
      const begin = after % 800
      const [before, later] = [at(heard, begin), at(heard, begin + more)]
      const length = (lines: ReadonlyArray<string>) => /a strip is (\d+) s/.exec(lines.at(-1) ?? "")?.[1]
      if (length(before) !== length(later)) return
      const [old, now] = [strips(before), strips(later)]
      for (const [index, line] of old.entries()) {
        const drawn = /^\S+ +[█▓░]+/.exec(line)?.[0] ?? ""
        assert.isTrue(now[index]?.startsWith(drawn), `${line}\n${now[index]}`)
      }
    }
  )
})
