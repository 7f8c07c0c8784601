import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { instance } from "@viz-js/viz"
import * as StateGraph from "../src/StateGraph.ts"

const graph = `stateDiagram-v2
  undo_pause: undo pause
  [*] --> pause
  pause --> undo_pause: failed, told to stop
  undo_pause --> [*]
`

describe("a state graph", () => {
  it("is read from Mermaid's words", () => {
    const { arrows, states } = StateGraph.parse(graph)
    assert.deepStrictEqual(
      [...states],
      [
        ["undo_pause", "undo pause"],
        ["pause", "pause"]
      ]
    )
    assert.deepStrictEqual(
      arrows.map(({ because }) => because),
      ["", "failed, told to stop", ""]
    )
  })

  it("with something else in it is refused: no part of a picture is left out", () => {
    assert.throws(() => StateGraph.parse("flowchart LR\n  a --> b"), "not a state graph")
    assert.throws(() => StateGraph.parse("stateDiagram-v2\n  a --> b\n  note right of a: why"), "note right of a")
  })

  it("is drawn with every name and reason, in the page's colours", async () => {
    const svg = StateGraph.render(await instance(), StateGraph.parse(graph))
    assert.match(svg, /^<svg role="img" aria-label="[^"]*undo pause, pause"/)
    for (const text of ["undo pause", "failed, told to stop"])
      assert.match(svg, new RegExp(`${text}(&#160;|\\s)*</text>`))
    assert.include(svg, "currentColor")
    assert.notInclude(svg, "black")
  })

  it("of docs/states.md can be drawn, each of them", async () => {
    const viz = await instance()
    const page = readFileSync(join(import.meta.dirname, "../../../docs/states.md"), "utf8")
    const graphs = [...page.matchAll(/```mermaid\n(.*?)```/gs)].map(([, text = ""]) => StateGraph.parse(text))
    assert.lengthOf(graphs, 3)
    for (const one of graphs) {
      const svg = StateGraph.render(viz, one)
      for (const name of one.states.values()) assert.include(svg, `>${name}</text>`)
    }
  })
})
