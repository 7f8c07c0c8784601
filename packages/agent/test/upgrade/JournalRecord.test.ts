import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "../../src/upgrade/Event.ts"
import * as JournalRecord from "../../src/upgrade/JournalRecord.ts"

const common = { version: 1, run: "r", boot: "b", monotonic: 1.5 } as const

const failed: Event = {
  ...common,
  type: "step",
  step: "pause",
  status: "failed",
  vm: "web-1",
  detail: { reason: "the VMM has gone." }
}

const read = (path: string) => Fs.readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

describe("JournalRecord", () => {
  it("of a step: who, what, why, and where to look further", () =>
    assert.deepStrictEqual(JournalRecord.make(failed), {
      MESSAGE: "web-1: pause failed: the VMM has gone.",
      MESSAGE_ID: JournalRecord.messageIds.failed,
      PRIORITY: 3,
      SYSLOG_IDENTIFIER: "liveupdate",
      LIVEUPDATE_RUN: "r",
      LIVEUPDATE_BOOT: "b",
      LIVEUPDATE_MONOTONIC_MS: 1.5,
      LIVEUPDATE_STEP: "pause",
      LIVEUPDATE_VM: "web-1",
      LIVEUPDATE_STATUS: "failed",
      LIVEUPDATE_DETAIL: '{"reason":"the VMM has gone."}'
    }))

  it("of an outcome: its own words; of what only programs want, none", () => {
    const record = JournalRecord.make({ ...common, type: "outcome", result: "upgraded", message: "done" })
    assert.deepInclude(record, { MESSAGE: "done", MESSAGE_ID: JournalRecord.messageIds.upgraded, PRIORITY: 5 })
    assert.isUndefined(JournalRecord.make({ ...common, type: "clock", offset: 1, uncertainty: 1 }))
  })

  it("every MESSAGE_ID is one, and is explained in the catalog and on the page", () => {
    const ids = Object.values(JournalRecord.messageIds)
    assert.strictEqual(new Set(ids).size, ids.length)
    const catalog = read("systemd/liveupdate.catalog")
    const page = read("../../docs/systemd.md")
    for (const id of ids) {
      assert.match(id, /^[0-9a-f]{32}$/)
      assert.match(catalog, new RegExp(`^-- ${id}\nSubject: .+\nDefined-By: liveupdate\n\n.+`, "m"))
      assert.include(page, `\`${id}\``)
    }
    assert.strictEqual(catalog.match(/^-- /gm)?.length, ids.length)
  })
})
