/**
 * A terminal as far as the agent uses one: what a person sees after all that was written to it. What becomes too long is wrapped, also when
 * the terminal becomes narrower, as the terminals of today do it; lines that leave at the top are kept.
 */

/** A line of text as it was written, which takes one row or more. */
type Line = Array<string>

export class Screen {
  columns: number
  rows: number
  /** From the first one that was ever written; the last `rows` rows of them are on the screen. */
  readonly #lines: Array<Line> = [[]]
  #line = 0
  #column = 0
  /** What of a control sequence has come so far. */
  #sequence = ""

  constructor(columns: number, rows: number) {
    this.columns = columns
    this.rows = rows
  }

  resize(columns: number, rows: number): void {
    // The cursor is in the row that it was in; ours is below everything, at the beginning.
    this.columns = columns
    this.rows = rows
  }

  /** Rows that a line takes. */
  #height(line: Line): number {
    return Math.max(1, Math.ceil(line.length / this.columns))
  }

  #up(rows: number): void {
    let left = rows - Math.floor(this.#column / this.columns)
    this.#column %= this.columns
    if (left <= 0) throw new Error("it moves within a line that is wrapped")
    while (left > 0 && this.#line > 0) {
      this.#line -= 1
      left -= this.#height(this.#lines[this.#line] ?? [])
    }
    if (left !== 0) throw new Error(`the cursor went ${rows} rows up and not to the beginning of a line`)
    const below = this.#lines.slice(this.#line).reduce((sum, line) => sum + this.#height(line), 0)
    if (below > this.rows) throw new Error("the cursor went to what has left the screen")
  }

  #put(character: string): void {
    const line = this.#lines[this.#line] ?? []
    while (line.length < this.#column) line.push(" ")
    line[this.#column] = character
    this.#column += 1
  }

  #control(sequence: string): void {
    const [, count, what] = /^\p{Cc}\[(\d*)([A-Za-z])$/u.exec(sequence) ?? []
    const line = this.#lines[this.#line] ?? []
    if (what === "A") this.#up(Number(count || 1))
    else if (what === "K") line.length = Math.min(line.length, this.#column)
    else if (what === "J") {
      line.length = Math.min(line.length, this.#column)
      this.#lines.length = this.#line + 1
    } else if (what !== "m") throw new Error(`unknown: ${JSON.stringify(sequence)}`)
  }

  write(text: string): void {
    for (const character of text) {
      if (this.#sequence !== "") {
        this.#sequence += character
        if (/[A-Za-z]/.test(character)) {
          this.#control(this.#sequence)
          this.#sequence = ""
        }
      } else if (character === "\u001b") this.#sequence = character
      else if (character === "\r") this.#column = 0
      else if (character === "\n") {
        this.#line += 1
        this.#column = 0
        if (this.#line === this.#lines.length) this.#lines.push([])
      } else this.#put(character)
    }
  }

  /** All that was written and is still there, without blanks at the end. */
  get text(): ReadonlyArray<string> {
    const lines = this.#lines.map((line) => line.join("").trimEnd())
    while (lines.at(-1) === "") lines.pop()
    return lines
  }
}
