/** Markdown as the formatter would leave it. */

/** A table whose columns are as wide as their widest cell. */
export const table = (
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> => {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => [...(row[column] ?? "")].length))
  )
  const line = (cells: ReadonlyArray<string>) =>
    `| ${widths.map((width, column) => (cells[column] ?? "").padEnd(width)).join(" | ")} |`
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)]
}
