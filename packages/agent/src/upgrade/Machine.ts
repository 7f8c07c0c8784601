/**
 * The order of things in a live update, as a pure function: a state and what happened give the next state and what is to be done. It
 * knows no kernel and no VMM; `Driver` does what it says.
 *
 * One machine for both halves: which phases there are, and on which side of the jump each of them lies, is data. On either side one rule
 * decides what a failure means. Before the jump it is undone, all of it in reverse order (or, with the policy `leave-behind`, what was
 * done for that VM); after it the VM is parked, and the others go on.
 *
 * @since 0.1.0
 */
import type { Phase } from "./Phase.ts"

/**
 * The phases in their order.
 *
 * @since 0.1.0
 * @category models
 */
export type Phases = ReadonlyArray<Phase>

/**
 * Where a VM is in the phases.
 *
 * `at`: it has done the phases before the one of this index, and `doing` says whether it is at that one. `leaving`: what was done for it is
 * being undone, and it will be `left-behind`. `parked`: it failed after the jump; its memory is kept.
 *
 * @since 0.1.0
 * @category models
 */
export type VmState =
  | { readonly tag: "at"; readonly index: number; readonly doing: boolean }
  | { readonly tag: "leaving" | "left-behind" | "parked"; readonly index: number }

/**
 * Why a run goes no further.
 *
 * @since 0.1.0
 * @category models
 */
export interface Why {
  readonly cause: "failed" | "told" | "too-late" | "dry-run" | "found"
  readonly phase: string
  readonly vm?: string
}

/**
 * @since 0.1.0
 * @category models
 */
export type Result = "refused" | "rolled-back" | "dry-run" | "upgraded" | "needs-operator"

/**
 * `going`: phases are begun. `stopping`: none is begun any more, those that run are waited for. `undoing`: from the phase of `next` down.
 *
 * @since 0.1.0
 * @category models
 */
export interface State {
  readonly mode: "going" | "stopping" | "undoing" | "ended"
  readonly policy: "abort" | "leave-behind"
  readonly dryRun: boolean
  /** The host's own next phase. */
  readonly host: { readonly index: number; readonly doing: boolean }
  readonly vms: Readonly<Record<string, VmState>>
  /** Of the undo. */
  readonly next: number
  /** VMs that an undo could not give back running. */
  readonly notUndone: ReadonlyArray<string>
  readonly why?: Why
}

/**
 * `done` of the first half's preflight names the VMs. `stop`: a signal, or the blackout's deadline; with `force` running phases are
 * interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export type Event =
  | { readonly _tag: "done"; readonly phase: string; readonly vm?: string; readonly vms?: ReadonlyArray<string> }
  | { readonly _tag: "failed"; readonly phase: string; readonly vm?: string }
  | { readonly _tag: "undone"; readonly phase: string; readonly vm?: string; readonly failed: ReadonlyArray<string> }
  | { readonly _tag: "stop"; readonly cause: "told" | "too-late"; readonly force: boolean }

/**
 * `undo` is for everything that has begun the phase: `vms`, or the host where there are none. `leave-behind` undoes these phases of one VM, in
 * the order given.
 *
 * @since 0.1.0
 * @category models
 */
export type Command =
  | { readonly _tag: "run"; readonly phase: string; readonly vm?: string }
  | { readonly _tag: "undo"; readonly phase: string; readonly vms: ReadonlyArray<string> }
  | { readonly _tag: "leave-behind"; readonly vm: string; readonly phases: ReadonlyArray<string> }
  | { readonly _tag: "interrupt" }
  | { readonly _tag: "conclude"; readonly result: Result }

/**
 * @since 0.1.0
 * @category models
 */
export type Step = readonly [State, ReadonlyArray<Command>]

const entries = (state: State) => Object.entries(state.vms)
const active = (state: State) => entries(state).filter(([, vm]) => vm.tag === "at")
const setVm = (state: State, id: string, vm: VmState): State => ({ ...state, vms: { ...state.vms, [id]: vm } })

/** Something runs whose end will be told. */
const isBusy = (state: State): boolean =>
  state.host.doing || entries(state).some(([, vm]) => (vm.tag === "at" && vm.doing) || vm.tag === "leaving")

const sideOf = (phases: Phases, index: number) => phases[index]?.side ?? phases.at(-1)?.side ?? "before"

/** The jump has begun: from here on nobody may stop it. */
const isJumping = (phases: Phases, state: State): boolean =>
  state.host.doing && sideOf(phases, state.host.index) === "at"

const nextHostPhase = (phases: Phases, from: number): number => {
  const index = phases.findIndex((phase, at) => at >= from && phase.per === "host")
  return index < 0 ? phases.length : index
}

/** Whether every VM that is carried has come to this index, and none is at work before it. */
const haveAllCome = (state: State, index: number): boolean =>
  entries(state).every(([, vm]) => vm.tag !== "leaving" && (vm.tag !== "at" || vm.index >= index))

const begun = (state: State, index: number): ReadonlyArray<string> =>
  entries(state)
    .filter(([, vm]) => vm.tag === "at" && (vm.index > index || (vm.index === index && vm.doing)))
    .map(([id]) => id)

/** Undoes one phase after the other, as long as there is one that was begun. */
const undo = (phases: Phases, state: State): Step => {
  for (let index = state.next; index >= 0; index--) {
    const phase = phases[index]
    if (phase === undefined || phase.side !== "before" || index === 0) continue
    const vms = phase.per === "vm" ? begun(state, index) : []
    const hostBegan =
      phase.per === "host" && (state.host.index > index || (state.host.index === index && state.host.doing))
    if (vms.length > 0 || hostBegan)
      return [{ ...state, mode: "undoing", next: index - 1 }, [{ _tag: "undo", phase: phase.name, vms }]]
  }
  const dry = state.why?.cause === "dry-run" && state.notUndone.length === 0
  return [{ ...state, mode: "ended" }, [{ _tag: "conclude", result: dry ? "dry-run" : "rolled-back" }]]
}

const stopFor = (state: State, why: Why): State => ({ ...state, mode: "stopping", why: state.why ?? why })

/** What can begin now. */
const advance = (phases: Phases, state: State): Step => {
  if (state.mode === "stopping" && sideOf(phases, state.host.index) === "after") {
    // Who is not at work now stays where it is; the report is made all the same.
    const parked = entries(state).reduce(
      (state, [id, vm]) =>
        vm.tag === "at" && !vm.doing && vm.index < nextHostPhase(phases, 0)
          ? setVm(state, id, { tag: "parked", index: vm.index })
          : state,
      state
    )
    return beginReady(phases, parked)
  }
  if (state.mode === "stopping")
    return isBusy(state) ? [state, []] : undo(phases, { ...state, next: phases.length - 1 })
  return beginReady(phases, state)
}

/** Begins whatever waits for nobody any more. */
const beginReady = (phases: Phases, from: State): Step => {
  let state = from
  const commands: Array<Command> = []
  if (state.mode === "going")
    for (const [id, vm] of active(state)) {
      const phase = vm.tag === "at" && !vm.doing ? phases[vm.index] : undefined
      if (phase?.per !== "vm" || (phase.barrier && !haveAllCome(state, vm.index))) continue
      state = setVm(state, id, { tag: "at", index: vm.index, doing: true })
      commands.push({ _tag: "run", phase: phase.name, vm: id })
    }
  const index = state.host.index
  const phase = phases[index]
  if (phase === undefined || state.host.doing || !haveAllCome(state, index)) return [state, commands]
  if (entries(state).some(([, vm]) => vm.tag === "at" && vm.doing)) return [state, commands]
  const nobody = index > 0 && phase.side !== "after" && active(state).length === 0
  if (nobody || (phase.side === "at" && state.dryRun)) {
    const why: Why = { cause: nobody ? "failed" : "dry-run", phase: phase.name }
    return advance(phases, stopFor(state, why))
  }
  return [{ ...state, host: { index, doing: true } }, [...commands, { _tag: "run", phase: phase.name }]]
}

const resultOf = (state: State): Result =>
  entries(state).some(([, vm]) => vm.tag === "parked") ? "needs-operator" : "upgraded"

const hostDone = (phases: Phases, state: State, vms: ReadonlyArray<string> | undefined): Step => {
  const index = state.host.index + 1
  const named = vms === undefined ? state.vms : Object.fromEntries(vms.map((id) => [id, at(index)]))
  const next: State = {
    ...state,
    host: { index: nextHostPhase(phases, index), doing: false },
    vms: Object.fromEntries(Object.entries(named).map(([id, vm]) => [id, vm.tag === "at" ? at(index) : vm]))
  }
  return index >= phases.length
    ? [{ ...next, mode: "ended" }, [{ _tag: "conclude", result: resultOf(next) }]]
    : advance(phases, next)
}

const at = (index: number): VmState => ({ tag: "at", index, doing: false })

const failed = (phases: Phases, state: State, event: Extract<Event, { _tag: "failed" }>): Step => {
  const index = phases.findIndex((phase) => phase.name === event.phase)
  const side = sideOf(phases, index)
  if (event.vm === undefined) {
    if (side === "after") return [{ ...state, mode: "ended" }, [{ _tag: "conclude", result: "needs-operator" }]]
    // What has failed may have begun all the same, so it is undone as well.
    const why: Why = state.why ?? { cause: "failed", phase: event.phase }
    const stopped = stopFor({ ...state, host: { index: index + 1, doing: false } }, why)
    return index === 0
      ? [{ ...stopped, mode: "ended" }, [{ _tag: "conclude", result: "refused" }]]
      : advance(phases, stopped)
  }
  const { vm } = event
  if (side === "after") return advance(phases, setVm(state, vm, { tag: "parked", index }))
  if (state.mode === "going" && state.policy === "leave-behind")
    return [
      setVm(state, vm, { tag: "leaving", index }),
      [
        {
          _tag: "leave-behind",
          vm,
          phases: phases
            .slice(0, index + 1)
            .filter(({ per }) => per === "vm")
            .map(({ name }) => name)
            .reverse()
        }
      ]
    ]
  const why: Why = { cause: "failed", phase: event.phase, vm }
  return advance(phases, stopFor(setVm(state, vm, at(index + 1)), why))
}

/**
 * The first step of a run. `vms` are known from the beginning after the jump, and are named by the preflight before it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const begin = (
  phases: Phases,
  options: {
    readonly vms?: ReadonlyArray<string>
    readonly policy?: State["policy"]
    readonly dryRun?: boolean
  } = {}
): Step =>
  advance(phases, {
    mode: "going",
    policy: options.policy ?? "abort",
    dryRun: options.dryRun ?? false,
    host: { index: nextHostPhase(phases, 0), doing: false },
    vms: Object.fromEntries((options.vms ?? []).map((id) => [id, at(0)])),
    next: 0,
    notUndone: []
  })

/**
 * The first step of whoever finds a run whose agent has died before the jump: everything that it had begun is undone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const found = (
  phases: Phases,
  intents: ReadonlyArray<{ readonly phase: string; readonly vm?: string }>
): Step => {
  const indexOf = (name: string) => phases.findIndex((phase) => phase.name === name)
  const last = (vm: string | undefined) =>
    Math.max(0, ...intents.filter((intent) => intent.vm === vm).map((intent) => indexOf(intent.phase) + 1))
  const ids = [...new Set(intents.flatMap(({ vm }) => (vm === undefined ? [] : [vm])))]
  return advance(phases, {
    mode: "stopping",
    policy: "abort",
    dryRun: false,
    host: { index: last(undefined), doing: false },
    vms: Object.fromEntries(ids.map((id) => [id, at(last(id))])),
    next: 0,
    notUndone: [],
    why: { cause: "found", phase: intents.at(-1)?.phase ?? phases[0]?.name ?? "" }
  })
}

/**
 * What happened, and what follows from it.
 *
 * @since 0.1.0
 * @category operations
 */
export const step = (phases: Phases, state: State, event: Event): Step => {
  if (state.mode === "ended") return [state, []]
  switch (event._tag) {
    case "done": {
      if (event.vm === undefined) return hostDone(phases, state, event.vms)
      const index = phases.findIndex((phase) => phase.name === event.phase)
      return advance(phases, setVm(state, event.vm, at(index + 1)))
    }
    case "failed":
      return failed(phases, state, event)
    case "undone": {
      const notUndone = [...new Set([...state.notUndone, ...event.failed])]
      if (event.vm !== undefined)
        return advance(phases, setVm({ ...state, notUndone }, event.vm, { tag: "left-behind", index: 0 }))
      return undo(phases, { ...state, notUndone })
    }
    case "stop": {
      if (state.mode === "undoing" || isJumping(phases, state)) return [state, []]
      const phase = current(phases, state)
      const [next, commands] = advance(phases, stopFor(state, { cause: event.cause, phase }))
      return event.force && isBusy(next) ? [next, [...commands, { _tag: "interrupt" }]] : [next, commands]
    }
  }
}

/** The phase that the run is at, for a reader: the one that most has begun. */
const current = (phases: Phases, state: State): string => {
  const doing = entries(state).flatMap(([, vm]) => (vm.tag === "at" ? [vm.index] : []))
  const index = state.host.doing ? state.host.index : Math.max(...doing, 0)
  return phases[Math.min(index, phases.length - 1)]?.name ?? ""
}
