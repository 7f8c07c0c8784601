/**
 * docs/faults.md: the fault matrix.
 */
import * as Matrix from "../test/faults/Matrix.ts"

const cellOf = (fault: string, phase: string): string => {
  const cell = Matrix.cells.find((cell) => cell.fault === fault && cell.phase === phase)
  return cell === undefined || "never" in cell ? "–" : cell.end
}

const faults = Object.entries(Matrix.faults)
const never = faults.flatMap(([fault]) => {
  const cell = Matrix.cells.find((cell) => cell.fault === fault && "never" in cell)
  return cell !== undefined && "never" in cell ? [`- \`${fault}\`: ${cell.never}`] : []
})

export const text = `<!-- Made by packages/agent/tools from packages/agent/test/faults/Matrix.ts: npm run docs -->

# What may go wrong, and what is true then

Two guests run on a host that is upgraded. The fault is made for one of them, between the intent to begin a phase and its effect; the other
one has missed nothing, unless the whole host goes down. \`npm run faults\` makes every cell real on the QEMU host, which takes an hour or more, and prints the
matrix; \`LIVEUPDATE_CELLS=power-cut,vmm-dies/pause npm run faults\` runs some of them; \`npm test\` runs a few.
It also runs some on the [kernel with test handlers](test-kernel.md#faults-on-demand), which makes faults of its own: only there a cell ends as \`lost\`.

| fault | ${Matrix.phases.join(" | ")} |
| --- | ${Matrix.phases.map(() => "---").join(" | ")} |
${faults.map(([fault]) => `| \`${fault}\` | ${Matrix.phases.map((phase) => cellOf(fault, phase)).join(" | ")} |`).join("\n")}

## The faults

${faults.map(([fault, what]) => `- \`${fault}\`: ${what}`).join("\n")}

## How a cell ends

${Object.entries(Matrix.ends)
  .map(([end, what]) => `- **${end}**: ${what}`)
  .join("\n")}

## Why some can't happen

Where there is a dash: in that phase

${never.join("\n")}
`
