import { assert, describe, it } from "@effect/vitest"
import { fromLines, type Implementation, Measurement, toLine } from "../src/Measurement.ts"
import * as Summary from "../src/Summary.ts"

const measured = (implementation: Implementation, ...microseconds: ReadonlyArray<number>) =>
  microseconds.map(
    (each, round) =>
      new Measurement({ operation: "files.preserve", implementation, round, amount: 500, nanoseconds: each * 500_000 })
  )

describe("Summary", () => {
  it("the median is the middle, whatever the order, and between the two middle ones", () => {
    assert.strictEqual(Summary.median([3, 1, 2]), 2)
    assert.strictEqual(Summary.median([10, 9, 100, 1]), 9.5)
    assert.strictEqual(Summary.median([7]), 7)
    assert.isNaN(Summary.median([]))
  })

  it("compares the rounds with each other, and counts the first one apart", () => {
    const [row, ...others] = Summary.rows([...measured("sdk", 900, 20, 60, 44), ...measured("c", 9, 10, 20, 11)])
    assert.deepStrictEqual(others, [])
    assert.deepStrictEqual(row, {
      operation: "files.preserve",
      rounds: 4,
      c: 11_000,
      sdk: 44_000,
      ratio: 3,
      lowest: 2,
      highest: 4,
      first: 100
    })
  })

  it("takes the only round there is, and leaves out what one side alone has done", () => {
    const [row] = Summary.rows([...measured("c", 10), ...measured("sdk", 30, 50)])
    assert.strictEqual(row?.ratio, 3)
    assert.strictEqual(row?.rounds, 1)
    assert.deepStrictEqual(Summary.rows(measured("sdk", 1, 2)), [])
  })

  it("the table has a line for each row under the header, and units that fit", () => {
    const [header, line, ...rest] = Summary.render(
      Summary.rows([...measured("c", 1, 10), ...measured("sdk", 1, 25)])
    ).split("\n")
    assert.match(header ?? "", /^operation +unit +C +SDK +SDK \/ C/)
    assert.match(line ?? "", /^preserve small files +µs\/file +10\.0 +25\.0 +2\.50 × +2\.50 … 2\.50 +1\.00 ×$/)
    assert.deepStrictEqual(rest, [])
  })

  it("a measurement comes back out of a program's output, among other lines", () => {
    const [one] = measured("c", 5)
    assert.isDefined(one)
    assert.deepStrictEqual(fromLines(`hello\n${toLine(one)}\n{"operation":1}\n\n`), [one])
  })
})
