import { assert, describe, it } from "@effect/vitest"
import * as PerformancePage from "../src/PerformancePage.ts"
import * as Plan from "../src/Plan.ts"
import * as Results from "../src/Results.ts"

const about = new Results.About({
  date: "2026-11-28",
  kernel: "7.3.4",
  node: "20.20.2",
  accelerator: "tcg",
  memoryMiB: 3072,
  cores: 2,
  load: [0.4, 1.26]
})

const blackout = (vm: string, total: number) => ({
  vm,
  total,
  kernel: 1000,
  vmmStart: 900,
  stateSave: 100,
  stateLoad: 50,
  ours: total - 2050
})

const updates: Results.Updates = {
  version: 1,
  about,
  updates: [
    { round: 1, vms: 1, blackouts: [blackout("one", 2500)], uncertainty: 1.2, load: 0.5 },
    { round: 1, vms: 2, blackouts: [blackout("one", 4000), blackout("two", 5000)], uncertainty: 3, load: 0.7 }
  ]
}

const calls: Results.Calls = {
  version: 1,
  where: "host",
  about,
  plan: Plan.standard(9),
  summary: [
    {
      operation: "files.preserve",
      rounds: 9,
      c: 22_900,
      sdk: 377_400,
      ratio: 17.12,
      lowest: 12.3,
      highest: 34,
      first: 8.29
    }
  ],
  measurements: []
}

describe("docs/performance.md", () => {
  it("has a row for each live update, with the slowest guest's shares", () => {
    const page = PerformancePage.render({ updates, calls: undefined })
    assert.include(page, "| 2 | 1 | **5.00 s** ± 3 ms | 1.00 | 0.90 | 0.10 | 0.05 | 2.95 | 0.7 |")
    assert.include(page, "2.00 times as long as the one of the same round (2.00)")
  })

  it("has a row for each operation", () => {
    const page = PerformancePage.render({ updates: undefined, calls })
    assert.include(page, "| preserve small files | µs/file | 22.9 | 377.4 | 17.12 × | 12.30 … 34.00 | 8.29 × |")
  })

  it("says on what it was measured", () => {
    const page = PerformancePage.render({ updates, calls })
    assert.include(
      page,
      "Measured on 2026-11-28: Linux 7.3.4, Node 20.20.2, a host of 3072 MiB whose processors are emulated"
    )
    assert.include(page, "Load average when it began 0.4, when it ended 1.3.")
  })

  it("says what is to be done when nothing was measured", () => {
    const page = PerformancePage.render({ updates: undefined, calls: undefined })
    assert.include(page, "run `npm run bench` on an idle machine")
    assert.include(page, "run `npm run bench:eight` on an idle machine")
  })
})

describe("what a benchmark leaves", () => {
  it("can be read again", () => {
    assert.deepStrictEqual(Results.fromText(Results.Updates, Results.toText(Results.Updates, updates)), updates)
    assert.deepStrictEqual(Results.fromText(Results.Calls, Results.toText(Results.Calls, calls)), calls)
  })

  it("that isn't what it should be is refused", () => {
    assert.throws(() => Results.fromText(Results.Updates, '{"version":2}'))
  })
})
