/**
 * docs/states.md: the phases as a table, and the graph of their states, found by walking the state machine through everything that can
 * happen to it with one VM.
 */
import * as Duration from "effect/Duration"
import * as Machine from "../src/upgrade/Machine.ts"
import * as After from "../src/upgrade/phases/After.ts"
import * as Before from "../src/upgrade/phases/Before.ts"

const VM = "vm"

interface Edge {
  readonly from: string
  readonly to: string
  readonly because: string
}

/** What is being done: there is one thing at a time with one VM. */
const doing = (command: Machine.Command): string => {
  switch (command._tag) {
    case "run":
      return command.phase
    case "undo":
      return `undo ${command.phase}`
    case "leave-behind":
      return "leave behind"
    case "interrupt":
      return "interrupt"
    case "conclude":
      return command.result
  }
}

/** How what is being done may end, with a word for each. */
const ends = (command: Machine.Command): ReadonlyArray<readonly [string, Machine.Event]> => {
  switch (command._tag) {
    case "run": {
      const about = { phase: command.phase, ...(command.vm === undefined ? {} : { vm: command.vm }) }
      const done: Machine.Event = { _tag: "done", ...about, ...(command.phase === "preflight" ? { vms: [VM] } : {}) }
      // A jump that succeeds is never told.
      return [...(command.phase === "jump" ? [] : [["done", done] as const]), ["failed", { _tag: "failed", ...about }]]
    }
    case "undo":
      return [["undone", { _tag: "undone", phase: command.phase, failed: [] }]]
    case "leave-behind":
      return [["undone", { _tag: "undone", phase: "", vm: command.vm, failed: [] }]]
    default:
      return []
  }
}

const walk = (phases: Machine.Phases, first: Machine.Step, stops: boolean): ReadonlyArray<Edge> => {
  const edges = new Map<string, Edge>()
  const seen = new Set<string>()
  const visit = (state: Machine.State, command: Machine.Command, stopped: boolean): void => {
    const at = JSON.stringify([state, command])
    if (seen.has(at)) return
    seen.add(at)
    const next = (because: string, [after, commands]: Machine.Step, nowStopped: boolean) => {
      const [following] = commands.filter((one) => one._tag !== "interrupt")
      if (following === undefined) return visit(after, command, nowStopped)
      const edge = { from: doing(command), to: doing(following), because }
      edges.set(JSON.stringify(edge), edge)
      visit(after, following, nowStopped)
    }
    for (const [because, event] of ends(command))
      next(
        stopped && command._tag === "run" ? "told to stop, or too late" : because,
        Machine.step(phases, state, event),
        stopped
      )
    if (stops && !stopped && command._tag === "run")
      next("", Machine.step(phases, state, { _tag: "stop", cause: "told", force: false }), true)
  }
  const [state, [command]] = first
  if (command !== undefined) visit(state, command, false)
  return [...edges.values()]
}

const idOf = (name: string) => name.replaceAll(/[ -]/g, "_")

const diagram = (edges: ReadonlyArray<Edge>, jumps: boolean): string => {
  const names = [...new Set(edges.flatMap(({ from, to }) => [from, to]))]
  const merged = new Map<string, Array<string>>()
  for (const { from, to, because } of edges) {
    const key = `${idOf(from)} --> ${idOf(to)}`
    merged.set(key, [...(merged.get(key) ?? []), because])
  }
  const first = edges[0]?.from ?? ""
  const last = names.filter((name) => edges.every(({ from }) => from !== name))
  return [
    "```mermaid",
    "stateDiagram-v2",
    ...names.filter((name) => idOf(name) !== name).map((name) => `  ${idOf(name)}: ${name}`),
    `  [*] --> ${idOf(first)}`,
    ...[...merged].map(([arrow, why]) => `  ${arrow}: ${[...new Set(why)].filter((word) => word !== "").join(", ")}`),
    ...(jumps ? ["  jump --> [*]: the next kernel runs"] : []),
    ...last.map((name) => `  ${idOf(name)} --> [*]`),
    "```"
  ].join("\n")
}

const sides = { before: "before: can be undone", at: "the jump: can't", after: "after: only forward" } as const

const row = ({ name, side, per, barrier, concurrency, deadline }: Machine.Phases[number]) =>
  `| \`${name}\` | ${sides[side]} | ${per === "host" ? "host" : "each VM"} | ${
    per === "host" || barrier ? "all VMs have come as far" : "its VM has come as far"
  } | ${per === "host" ? "" : Number.isFinite(concurrency) ? concurrency : "all"} | ${
    Duration.isFinite(deadline) ? `${Duration.toSeconds(deadline)} s` : "none"
  } |`

const before = walk(Before.phases, Machine.begin(Before.phases), true)
const leaving = walk(Before.phases, Machine.begin(Before.phases, { policy: "leave-behind" }), false).filter(
  ({ from, to }) => from === "leave behind" || to === "leave behind"
)
const after = walk(After.phases, Machine.begin(After.phases, { vms: [VM] }), false)

export const text = `<!-- Made by packages/agent/tools from the state machine itself: npm run docs -->

# Phases and states of a live update

Each phase is a file of \`packages/agent/src/upgrade/phases\`; \`upgrade/Machine.ts\` says what comes next, \`upgrade/Driver.ts\` does it. The
graphs are what the machine answers when it is led through everything that can happen, with one VM.

| phase | side of the jump | for | begins when | VMs at once | deadline |
| ----- | ---------------- | --- | ----------- | ----------- | -------- |
${[...Before.phases, ...After.phases].map(row).join("\n")}

\`agent upgrade --deadline PHASE=SECONDS\` sets another one. A phase that is late has failed. From the first pause on there is one for all of
them, \`--max-pause SECONDS\`: past it running phases are interrupted, and everything is undone.
Both can be set once for a host ([configuration.md](configuration.md)).

## Before the jump

A phase that fails was begun, so it is undone as well. Who is told to stop (SIGINT, SIGTERM) lets the running phases come to their end, and
undoes; told a second time, it interrupts them. During the jump nobody is listened to.

${diagram(before, true)}

With \`--dry-run\` the way from \`preserve-state\` leads to \`undo preserve-state\`, and ends as \`dry-run\`. With \`--on-failure leave-behind\` a VM
whose phase fails is undone alone, and the others go on; if it was the last one, all is undone:

${diagram(leaving, false)}

## After the jump

Every VM goes its own way. One that fails is parked: its session is held, its memory kept, and the next \`agent resume\` tries again. The
report waits for all of them.

${diagram(after, false)}
`
