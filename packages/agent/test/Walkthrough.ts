/**
 * A page of Markdown whose steps can be done: blocks marked `console`, as they stand in docs/install.md.
 *
 * ```console
 * $ a command, as it is typed
 * > and its next lines
 * what it prints: `…` in a line stands for any text, alone in a line for any lines
 * [exit code 5]
 * [connection closed]
 * ```
 *
 * The last two are for commands that don't end with 0, and for those that the host doesn't outlive. A block that can't be done on a
 * host has its reason in a comment before it: `<!-- elsewhere: another machine builds the kernel -->`.
 */

export type End =
  | { readonly _tag: "exited"; readonly code: number }
  /** The kernel that it ran on is gone. */
  | { readonly _tag: "connection closed" }

export interface Step {
  /** From 1 on. */
  readonly line: number
  readonly command: string
  /** Lines that it prints. */
  readonly prints: ReadonlyArray<string>
  readonly end: End
}

export interface Block {
  readonly line: number
  /** Why it is done by nobody here. */
  readonly elsewhere: string | undefined
  readonly steps: ReadonlyArray<Step>
}

const stepsOf = (lines: ReadonlyArray<string>, first: number): ReadonlyArray<Step> => {
  const steps: Array<{ line: number; command: string; prints: Array<string>; end: End }> = []
  for (const [index, text] of lines.entries()) {
    const line = first + index
    const step = steps.at(-1)
    if (text.startsWith("$ ")) {
      steps.push({ line, command: text.slice(2), prints: [], end: { _tag: "exited", code: 0 } })
      continue
    }
    if (step === undefined) throw new Error(`line ${line}: before the first command stands: ${text}`)
    const [, code] = /^\[exit code (\d+)\]$/.exec(text) ?? []
    if (code !== undefined) step.end = { _tag: "exited", code: Number(code) }
    else if (text === "[connection closed]") step.end = { _tag: "connection closed" }
    else if (/^> ?/.test(text) && step.prints.length === 0) step.command += `\n${text.replace(/^> ?/, "")}`
    else step.prints.push(text)
  }
  return steps
}

/** Every block marked `console`, and no other may look like one. */
export const parse = (markdown: string): ReadonlyArray<Block> => {
  const lines = markdown.split("\n")
  const blocks: Array<Block> = []
  let elsewhere: string | undefined
  for (let index = 0; index < lines.length; index++) {
    const text = lines[index] ?? ""
    const [, reason] = /^<!-- elsewhere: (.+) -->$/.exec(text) ?? []
    if (reason !== undefined) {
      elsewhere = reason
      continue
    }
    const [, indent = "", fence, language] = /^(\s*)(`{3,})(\S*)/.exec(text) ?? []
    if (fence === undefined) {
      if (text.trim() !== "" && elsewhere !== undefined)
        throw new Error(`line ${index + 1}: a block was to be done elsewhere, and none comes: ${elsewhere}`)
      continue
    }
    const end = lines.findIndex((other, at) => at > index && other.trim() === fence)
    if (end < 0) throw new Error(`line ${index + 1}: a block without an end`)
    if (language === "console")
      blocks.push({
        line: index + 1,
        elsewhere,
        steps: stepsOf(
          lines.slice(index + 1, end).map((inner) => (inner.startsWith(indent) ? inner.slice(indent.length) : inner)),
          index + 2
        )
      })
    else if (language === "sh") throw new Error(`line ${index + 1}: commands that nobody does: mark the block console`)
    elsewhere = undefined
    index = end
  }
  return blocks
}

const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")

/** Whether that is what the page says that it prints; blanks at the ends of lines don't count. */
export const isPrinted = ({ prints }: Step, output: string): boolean => {
  const pattern = prints
    .map((line) => (line === "…" ? "(?:.*\\n)*?" : `${line.trimEnd().split("…").map(literal).join(".*")}\\n`))
    .join("")
  const text = output.replaceAll("\r", "").trimEnd()
  const lines = text === "" ? "" : `${text.replaceAll(/[ \t]+$/gm, "")}\n`
  return new RegExp(`^${pattern}$`).test(lines)
}
