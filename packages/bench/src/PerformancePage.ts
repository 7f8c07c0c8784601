/**
 * docs/performance.md, from what the benchmarks have left.
 *
 * @since 0.1.0
 */
import * as Blackouts from "./Blackouts.ts"
import type * as Results from "./Results.ts"
import * as Summary from "./Summary.ts"

const on = ({ accelerator, cores, date, kernel, load, memoryMiB, node }: Results.About): string =>
  `Measured on ${date}: Linux ${kernel}, Node ${node}, a host of ${memoryMiB} MiB ${
    accelerator === "kvm" ? "on KVM" : "whose processors are emulated, without hardware virtualisation"
  }, on a machine with ${cores} cores. Load average when it began ${load[0].toFixed(1)}, when it ended ${load[1].toFixed(1)}.`

const table = (titles: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [titles, titles.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

const seconds = (milliseconds: number): string => (milliseconds / 1000).toFixed(2)

const blackouts = ({ updates }: Results.Updates): string =>
  table(
    ["VMs", "round", "slowest guest's blackout", "kernel", "VMM start", "state save", "state load", "ours", "load"],
    updates.flatMap((update) => {
      const worst = Blackouts.slowest(update)
      if (worst === undefined) return []
      const { kernel, ours, stateLoad, stateSave, total, vmmStart } = worst
      return [
        [
          String(update.vms),
          String(update.round),
          `**${seconds(total)} s** ± ${Math.ceil(update.uncertainty)} ms`,
          ...[kernel, vmmStart, stateSave, stateLoad, ours].map(seconds),
          update.load.toFixed(1)
        ]
      ]
    })
  )

const calls = ({ summary }: Results.Calls): string =>
  table(
    Summary.header,
    Summary.cells(summary).map(([title = "", ...rest]) => [title.replace(/^ +/, "… "), ...rest])
  )

const missing = (command: string): string =>
  `Nothing that was measured is kept yet: run \`${command}\` on an idle machine, and \`npm run docs\`.`

const howLong = (results: Results.Updates): string => {
  const ratios = Blackouts.ratios(results.updates)
  const times = ratios.map((ratio) => ratio.toFixed(2)).join(", ")
  return `${blackouts(results)}

The slowest of eight stood still ${Summary.median(ratios).toFixed(2)} times as long as the one of the same round (${times}).

${on(results.about)}`
}

/**
 * Each table only if its benchmark has left something.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (results: {
  readonly calls: Results.Calls | undefined
  readonly updates: Results.Updates | undefined
}): string => `<!-- Made by packages/bench from packages/bench/results: npm run docs -->

# What was measured

These tables are made of what the benchmarks have written into [packages/bench/results](../packages/bench/results), every single figure of it.
Run them on your machine: they write those files anew, and \`npm run docs\` makes this page of them.

## How long guests stand still

\`npm run bench:eight\`: live updates of one VM and of eight in turns, on one host. Each guest has 96 MiB and has to have counted on, with no tick missing.
In seconds; the shares are the slowest guest's, and add up to its blackout. [blackout.md](blackout.md) says what each is, and what it depends on.

${results.updates === undefined ? missing("npm run bench:eight") : howLong(results.updates)}

## What the SDK costs

\`npm run bench\`: the SDK against the same system calls in C, in turns, on the kernel itself. [benchmark.md](benchmark.md#how-to-read-it) says how to read it,
and where the time goes.

${results.calls === undefined ? missing("npm run bench") : [calls(results.calls), ...(results.calls.about === undefined ? [] : [on(results.calls.about)])].join("\n\n")}
`
