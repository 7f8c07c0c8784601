import { assert, describe, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import * as Machine from "../../src/upgrade/Machine.ts"
import * as After from "../../src/upgrade/phases/After.ts"
import * as Before from "../../src/upgrade/phases/Before.ts"

/** How whatever runs may end, and what else may happen, drawn one by one. */
interface Draws {
  readonly fails: () => boolean
  readonly which: (count: number) => number
  readonly stops: () => "no" | "told" | "forced"
}

interface Lived {
  readonly commands: ReadonlyArray<Machine.Command>
  readonly state: Machine.State
  /** Phases of a VM, or of the host under "", in the order in which they were begun, done, undone. */
  readonly begun: ReadonlyArray<string>
  readonly done: ReadonlyArray<string>
  readonly undone: ReadonlyArray<string>
  /** What had been done when the jump began. */
  readonly atJump: ReadonlyArray<string> | undefined
  readonly stoppedBeforeJump: boolean
}

const key = (phase: string, vm?: string) => `${vm ?? ""}/${phase}`

/** Plays the driver and the world: whatever the machine asks for happens, in any order, and ends well or not. */
const live = (
  phases: Machine.Phases,
  vms: ReadonlyArray<string>,
  first: Machine.Step,
  draws: Draws,
  jumpsSucceed: boolean
): Lived => {
  const commands: Array<Machine.Command> = []
  const begun: Array<string> = []
  const done: Array<string> = []
  const undone: Array<string> = []
  let atJump: ReadonlyArray<string> | undefined
  let stopped = false
  const pending: Array<() => Machine.Event | undefined> = []
  let [state, next] = first
  const take = (command: Machine.Command) => {
    commands.push(command)
    switch (command._tag) {
      case "run": {
        const { phase, vm } = command
        begun.push(key(phase, vm))
        if (phase === "jump") atJump = [...done]
        pending.push(() => {
          const fails = phase === "jump" ? !jumpsSucceed : draws.fails()
          // A jump that succeeds never says so.
          if (phase === "jump" && !fails) return undefined
          const about = { phase, ...(vm === undefined ? {} : { vm }) }
          if (fails) return { _tag: "failed", ...about }
          done.push(key(phase, vm))
          return { _tag: "done", ...about, ...(phase === "preflight" ? { vms } : {}) }
        })
        break
      }
      case "undo":
        for (const vm of command.vms.length === 0 ? [undefined] : command.vms) undone.push(key(command.phase, vm))
        pending.push(() => ({
          _tag: "undone",
          phase: command.phase,
          failed: command.vms.filter(() => draws.fails())
        }))
        break
      case "leave-behind":
        undone.push(...command.phases.map((phase) => key(phase, command.vm)))
        pending.push(() => ({ _tag: "undone", phase: "", vm: command.vm, failed: draws.fails() ? [command.vm] : [] }))
        break
      case "interrupt":
      case "conclude":
    }
  }
  for (let steps = 0; ; steps++) {
    assert.isBelow(steps, 1000, "it goes on for ever")
    next.forEach(take)
    if (state.mode === "ended" || pending.length === 0) break
    const stop = stopped ? "no" : draws.stops()
    if (stop !== "no") {
      stopped = true
      ;[state, next] = Machine.step(phases, state, { _tag: "stop", cause: "told", force: stop === "forced" })
      continue
    }
    const event = pending.splice(draws.which(pending.length), 1)[0]?.()
    if (event === undefined) break
    ;[state, next] = Machine.step(phases, state, event)
  }
  return { commands, state, begun, done, undone, atJump, stoppedBeforeJump: stopped && atJump === undefined }
}

const draws = (seed: ReadonlyArray<number>): Draws => {
  let at = 0
  const next = () => seed[at++ % seed.length] ?? 0
  return {
    fails: () => next() % 7 === 0,
    which: (count) => next() % count,
    stops: () => (next() % 29 === 0 ? "told" : next() % 31 === 0 ? "forced" : "no")
  }
}

const seeds = fc.array(fc.nat(1000), { minLength: 40, maxLength: 120 })
const ids = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { minLength: 1, maxLength: 4 })
const policies = fc.constantFrom("abort" as const, "leave-behind" as const)

const before = Before.phases.filter(({ side }) => side === "before").map(({ name }) => name)
const indexOf = (entry: string) => Before.phases.findIndex(({ name }) => name === entry.split("/")[1])
const conclusions = ({ commands }: Lived) => commands.filter((command) => command._tag === "conclude")

const property = (check: (lived: Lived, vms: ReadonlyArray<string>, jumps: boolean) => void, dryRun = false) =>
  fc.assert(
    fc.property(seeds, ids, policies, fc.boolean(), (seed, vms, policy, jumps) =>
      check(live(Before.phases, vms, Machine.begin(Before.phases, { policy, dryRun }), draws(seed), jumps), vms, jumps)
    ),
    { numRuns: 2000 }
  )

describe("Machine, before the jump", () => {
  it("ends once, or jumps; nothing is asked for after that", () =>
    property((lived, _, jumps) => {
      const ended = conclusions(lived).length
      if (lived.atJump === undefined || !jumps) assert.strictEqual(ended, 1)
      else assert.strictEqual(ended, 0)
      if (ended === 1) assert.strictEqual(lived.commands.at(-1)?._tag, "conclude")
    }))

  it("jumps once at most, with every VM that is carried ready, at least one of them, and nobody at work", () =>
    property(({ atJump, begun, state, commands }) => {
      const jumps = begun.filter((entry) => entry === "/jump").length
      assert.isAtMost(jumps, 1)
      if (atJump === undefined) return
      const carried = Object.entries(state.vms).filter(([, vm]) => vm.tag === "at")
      assert.isAbove(carried.length, 0)
      for (const [vm] of carried)
        for (const phase of before.filter((name) => name !== "preflight" && name !== "load-kernel"))
          assert.include(atJump, key(phase, vm))
      assert.isTrue(atJump.includes("/load-kernel"))
      assert.notStrictEqual(commands[0]?._tag, "undo")
    }))

  it("never begins a phase after it was stopped, and never jumps then", () =>
    property(({ stoppedBeforeJump, begun }) => {
      if (stoppedBeforeJump) assert.notInclude(begun, "/jump")
    }))

  it("undoes everything that was begun, once, in reverse order, unless the jump succeeds", () =>
    property(({ begun, undone, state, atJump }, _, jumps) => {
      if (atJump !== undefined && jumps) return
      if (state.why === undefined && undone.length === 0) return
      const undoable = begun.filter((entry) => entry !== "/jump" && entry !== "/preflight")
      assert.sameMembers([...undone], undoable)
      assert.strictEqual(new Set(undone).size, undone.length)
      // Of each VM, and of the host, what was begun later is undone first.
      for (const vm of new Set(undone.map((entry) => entry.split("/")[0]))) {
        const order = undone.filter((entry) => entry.startsWith(`${vm}/`)).map(indexOf)
        assert.deepStrictEqual(
          order,
          [...order].sort((a, b) => b - a)
        )
      }
    }))

  it("undoes nothing of a VM that goes through a jump", () =>
    property(({ undone, state, atJump }, _, jumps) => {
      if (atJump === undefined || !jumps) return
      for (const entry of undone) assert.strictEqual(state.vms[entry.split("/")[0] ?? ""]?.tag, "left-behind")
    }))

  it("gives every guest back before it lets go of its memory, and of all memory before it unloads the kernel", () =>
    property(({ undone }) => {
      const at = (entry: string) => undone.indexOf(entry)
      for (const entry of undone.filter((entry) => entry.endsWith("/preserve-running"))) {
        const vm = entry.split("/")[0]
        if (at(key("pause", vm)) >= 0) assert.isBelow(at(key("pause", vm)), at(entry))
        if (at("/load-kernel") >= 0) assert.isBelow(at(entry), at("/load-kernel"))
      }
    }))

  it("pauses no guest before the memory of all is preserved", () =>
    property(({ begun, done }, vms) => {
      const paused = begun.findIndex((entry) => entry.endsWith("/pause"))
      if (paused < 0) return
      const earlier = begun.slice(0, paused)
      const left = vms.filter((vm) => !earlier.includes(key("preserve-running", vm)))
      assert.deepStrictEqual(left, [])
      assert.isAbove(done.length, 0)
    }))

  it("a dry run never jumps, and what goes well ends as a dry run", () =>
    property(({ begun, state, commands }) => {
      assert.notInclude(begun, "/jump")
      const last = commands.at(-1)
      if (state.why?.cause === "dry-run" && state.notUndone.length === 0)
        assert.deepStrictEqual(last, { _tag: "conclude", result: "dry-run" })
      else if (last?._tag === "conclude") assert.include(["rolled-back", "refused"], last.result)
    }, true))
})

const afterProperty = (check: (lived: Lived, vms: ReadonlyArray<string>) => void) =>
  fc.assert(
    fc.property(seeds, ids, (seed, vms) =>
      check(live(After.phases, vms, Machine.begin(After.phases, { vms }), draws(seed), true), vms)
    ),
    { numRuns: 2000 }
  )

describe("Machine, after the jump", () => {
  it("undoes nothing, and ends once, after a report", () =>
    afterProperty((lived) => {
      assert.deepStrictEqual(lived.undone, [])
      assert.strictEqual(conclusions(lived).length, 1)
      assert.strictEqual(lived.begun.at(-1), "/report")
    }))

  it("finishes no session whose guest was not proven alive, and no VM waits for another one", () =>
    afterProperty(({ begun, done }) => {
      for (const entry of begun.filter((entry) => entry.endsWith("/finish")))
        assert.include(done, entry.replace("/finish", "/verify"))
    }))

  it("says upgraded when every VM is finished, and else who is parked", () =>
    afterProperty(({ commands, done, state }, vms) => {
      const last = commands.at(-1)
      const finished = vms.every((vm) => done.includes(key("finish", vm)))
      const reported = done.includes("/report")
      assert.deepStrictEqual(last, {
        _tag: "conclude",
        result: finished && reported ? "upgraded" : "needs-operator"
      })
      for (const vm of vms) if (!done.includes(key("finish", vm))) assert.strictEqual(state.vms[vm]?.tag, "parked")
    }))

  it("a VM that fails doesn't hold up the others", () => {
    const first = Machine.begin(After.phases, { vms: ["a", "b"] })
    let [state] = first
    ;[state] = Machine.step(After.phases, state, { _tag: "failed", phase: "retrieve", vm: "a" })
    for (const phase of ["retrieve", "restore", "resume", "verify", "finish"])
      [state] = Machine.step(After.phases, state, { _tag: "done", phase, vm: "b" })
    assert.isTrue(state.host.doing)
    assert.deepStrictEqual(state.vms["a"], { tag: "parked", index: 0 })
  })
})

describe("Machine, of a run that was found", () => {
  it("undoes exactly the intents, in reverse order", () =>
    fc.assert(
      fc.property(fc.nat(5), ids, (last, vms) => {
        const intents = before
          .slice(1, last + 1)
          .flatMap(
            (phase): ReadonlyArray<{ readonly phase: string; readonly vm?: string }> =>
              phase === "load-kernel" ? [{ phase }] : vms.map((vm) => ({ phase, vm }))
          )
        const lived = live(
          Before.phases,
          vms,
          Machine.found(Before.phases, intents),
          { fails: () => false, which: () => 0, stops: () => "no" },
          false
        )
        assert.sameMembers(
          [...lived.undone],
          intents.map(({ phase, vm }) => key(phase, vm))
        )
        assert.deepStrictEqual(lived.commands.at(-1), { _tag: "conclude", result: "rolled-back" })
      })
    ))
})
