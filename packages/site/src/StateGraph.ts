/**
 * The state graphs of docs/states.md as pictures: what they say in Mermaid's words, drawn by Graphviz when the site is built. Nothing has to be
 * loaded or run to see one, and its colours are the page's, dark or light.
 *
 * @since 0.1.0
 */
import type { Viz } from "@viz-js/viz"

/**
 * @since 0.1.0
 * @category models
 */
export interface Graph {
  readonly states: ReadonlyMap<string, string>
  readonly arrows: ReadonlyArray<{ readonly from: string; readonly to: string; readonly because: string }>
}

/** Where it begins and ends; in Mermaid's words both are `[*]`. */
const BEGIN = "begin of all"
const END = "end of all"

/**
 * Understands names of states and arrows with a reason; anything else is an error, so that no part of a picture is missing.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parse = (text: string): Graph => {
  const [first, ...lines] = text.trim().split("\n")
  if (first !== "stateDiagram-v2") throw new Error(`not a state graph: ${first}`)
  const states = new Map<string, string>()
  const arrows: Array<Graph["arrows"][number]> = []
  const see = (name: string) => {
    if (!states.has(name)) states.set(name, name)
    return name
  }
  for (const line of lines) {
    const arrow = /^ *(\[\*\]|\w+) --> (\[\*\]|\w+)(?:: *(.*))?$/.exec(line)
    const named = /^ *(\w+): (.+)$/.exec(line)
    if (arrow !== null) {
      const [, from = "", to = "", because = ""] = arrow
      arrows.push({
        from: from === "[*]" ? BEGIN : see(from),
        to: to === "[*]" ? END : see(to),
        because
      })
    } else if (named?.[1] !== undefined && named[2] !== undefined) states.set(named[1], named[2])
    else throw new Error(`not understood in a state graph: ${line}`)
  }
  return { states, arrows }
}

const quoted = (text: string) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`

/** In DOT. Graphviz knows how wide Helvetica's letters are, and the page's are no wider. */
const dot = ({ arrows, states }: Graph): string => {
  // An end for each that ends: one for all would draw long lines across the picture.
  const ends = arrows.filter(({ to }) => to === END).map(({ from }) => from)
  return [
    "digraph {",
    'bgcolor="transparent" rankdir=TB nodesep=0.4 ranksep=0.35',
    'node [shape=box style=rounded fontname="Helvetica" fontsize=13 height=0.35 margin="0.2,0.06"]',
    'edge [fontname="Helvetica" fontsize=11 arrowsize=0.7]',
    `${quoted(BEGIN)} [shape=circle style=filled fillcolor="black" label="" width=0.14 height=0.14]`,
    ...ends.map((from) => `${quoted(`${END} ${from}`)} [shape=doublecircle label="" width=0.1 height=0.1]`),
    ...[...states].map(([id, name]) => `${quoted(id)} [label=${quoted(name)}]`),
    ...arrows.map(({ because, from, to }) => {
      const label = because === "" ? "" : ` [label=${quoted(`   ${because}   `)}]`
      return `${quoted(from)} -> ${quoted(to === END ? `${END} ${from}` : to)}${label}`
    }),
    "}"
  ].join("\n")
}

/**
 * One `svg` element.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (viz: Viz, graph: Graph): string => {
  const result = viz.render(dot(graph), { format: "svg", engine: "dot" })
  if (result.status === "failure") throw new Error(result.errors.map(({ message }) => message).join("; "))
  const names = [...graph.states.values()].join(", ")
  const label = quoted(`States and how they follow each other: ${names}`)
  return (
    result.output
      .slice(result.output.indexOf("<svg"))
      .replaceAll(/<!--.*?-->\n?|<title>.*?<\/title>\n?/gs, "")
      .replaceAll("&#45;", "-")
      // Graphviz knows no colour that depends on what is around it. What has none of its own has the whole's.
      .replaceAll(/"(black|#000000)"/g, '"currentColor"')
      .replace("<svg", `<svg role="img" aria-label=${label} fill="currentColor"`)
      .trim()
  )
}
