/**
 * The examples in Markdown and in docstrings, as programs: fenced blocks marked `ts`. What a block takes for granted stands before it in
 * an HTML comment, `<!-- given: … -->`, which readers don't see; a line `// …` in there is where the block goes, or else it goes to the end.
 */
export interface Snippet {
  /** File and line of the block's first line. */
  readonly place: string
  readonly text: string
}

const FENCE = /(?:<!-- given:\n([\s\S]*?)-->\s*)?^```ts\n([\s\S]*?)^```$/gm

const HOLE = "// …\n"

const fill = (given: string, block: string): string =>
  given.includes(HOLE) ? given.replace(HOLE, () => block) : `${given}${block}`

const lineOf = (text: string, offset: number): number => text.slice(0, offset).split("\n").length

export const ofMarkdown = (file: string, text: string): ReadonlyArray<Snippet> =>
  [...text.matchAll(FENCE)].map((match) => ({
    place: `${file}:${lineOf(text, match.index + match[0].indexOf("```ts")) + 1}`,
    text: `${fill(match[1] ?? "", match[2] ?? "")}\nexport {}\n`
  }))

/** Docstrings are Markdown behind ` * `. */
export const ofSource = (file: string, text: string): ReadonlyArray<Snippet> =>
  [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap((block) =>
    ofMarkdown(file, block[0].replace(/^\s*\* ?/gm, "")).map(({ place, text: program }) => ({
      place: `${file}:${lineOf(text, block.index) + Number(place.split(":").at(-1)) - 1}`,
      text: program
    }))
  )
