/**
 * Programs for what only the operator knows, such as networks and storage, run at named moments of a live update.
 *
 * They are looked up before anything is touched, and their paths go through the handover: the second half asks no directory. Every one of
 * them is run with `LIVEUPDATE_HOOK`, `LIVEUPDATE_ACTION` (`do`, or `undo` when what it did has to be taken back), `LIVEUPDATE_RUN`,
 * `LIVEUPDATE_AGENT_PID` and, where it is about a VM, `LIVEUPDATE_VM` and `LIVEUPDATE_VMM_PID`.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Executable from "./Executable.ts"
import * as OnlyRoot from "./OnlyRoot.ts"
import { PreconditionFailed } from "./UpgradeError.ts"

/**
 * `pre-pause`, `post-save`, `pre-resume` and `post-finish` are run for each VM, `pre-jump` and `post-boot` for the host.
 *
 * @since 0.1.0
 * @category constants
 */
export const names = ["pre-pause", "post-save", "pre-jump", "post-boot", "pre-resume", "post-finish"] as const

/**
 * @since 0.1.0
 * @category models
 */
export type Name = (typeof names)[number]

/**
 * Paths of executables by the hook's name, in their order.
 *
 * @since 0.1.0
 * @category models
 */
export const Hooks = Schema.Record({ key: Schema.String, value: Schema.Array(Schema.String) })

/**
 * @since 0.1.0
 * @category models
 */
export type Hooks = typeof Hooks.Type

/**
 * Each hook's executables are in the directory of its name.
 *
 * @since 0.1.0
 * @category constants
 */
export const directory = "/etc/liveupdate/hooks"

/**
 * What one executable may take.
 *
 * @since 0.1.0
 * @category constants
 */
export const DEADLINE = Duration.seconds(10)

/**
 * A hook said no, or can't be run.
 *
 * @since 0.1.0
 * @category errors
 */
export class HookFailed extends Data.TaggedError("HookFailed")<{
  readonly hook: string
  readonly vm: string | undefined
  readonly reason: string
}> {
  override get message(): string {
    return `The hook ${this.hook}${this.vm === undefined ? "" : ` of VM ${this.vm}`} failed: ${this.reason}.`
  }
}

/**
 * Hooks are run as root, and somebody else decides what they do. Nothing was touched.
 *
 * @since 0.1.0
 * @category errors
 */
export class HooksUnsafe extends Data.TaggedError("HooksUnsafe")<{
  readonly weaknesses: ReadonlyArray<OnlyRoot.Weakness>
}> {
  override get message(): string {
    const each = this.weaknesses.map(({ culprit, reason, next }) => `${culprit} ${reason}: ${next}`)
    return `The hooks are run as root, and others than root may change them. ${each.join("; ")}`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Found {
  readonly hooks: Hooks
  /** What stands in the way of running the hooks of a directory, one sentence each. */
  readonly problems: ReadonlyArray<string>
  /** What lets others than root decide what they do. */
  readonly weaknesses: ReadonlyArray<OnlyRoot.Weakness>
}

const listed = (path: string): ReadonlyArray<string> =>
  Fs.existsSync(path)
    ? Fs.readdirSync(path)
        .filter((name) => !name.startsWith("."))
        .sort()
        .map((name) => Path.join(path, name))
    : []

const isExecutable = (path: string): boolean => {
  try {
    Fs.accessSync(path, Fs.constants.X_OK)
    return Fs.statSync(path).isFile()
  } catch {
    return false
  }
}

/** One culprit may be the matter of many hooks: it is told once. */
const weaknessesOf = (paths: ReadonlyArray<string>): ReadonlyArray<OnlyRoot.Weakness> => {
  const found = paths.map((path) => OnlyRoot.weakness(path)).filter((weak) => weak !== undefined)
  return [...new Map(found.map((weak) => [weak.culprit, weak])).values()]
}

/**
 * Looks them up. A directory that has a name that is no hook's, or a file that can't be executed, would be one that the operator relies on
 * and that never runs: it is a problem. Those that others than root may change, or add to, are weaknesses.
 *
 * @since 0.1.0
 * @category operations
 */
export const find = (root: string = directory): Effect.Effect<Found> =>
  Effect.sync(() => {
    try {
      const known: ReadonlyArray<string> = names
      const unknown = listed(root).filter((path) => !known.includes(Path.basename(path)))
      const found = names.map((name) => [name, listed(Path.join(root, name))] as const)
      const executables = found.flatMap(([, paths]) => paths)
      const bad = executables.filter((path) => !isExecutable(path))
      const directories = [root, ...names.map((name) => Path.join(root, name))].filter((path) => Fs.existsSync(path))
      return {
        hooks: Object.fromEntries(found.filter(([, paths]) => paths.length > 0)),
        problems: [
          ...unknown.map((path) => `${path} is no hook: there are ${names.join(", ")}`),
          ...bad.map((path) => `the hook ${path} can't be executed`)
        ],
        weaknesses: weaknessesOf([...directories, ...executables.filter((path) => !bad.includes(path))])
      }
    } catch (error) {
      return { hooks: {}, problems: [`the hooks in ${root} can't be read: ${String(error)}`], weaknesses: [] }
    }
  })

/**
 * Everything that refuses a live update with them.
 *
 * @since 0.1.0
 * @category accessors
 */
export const refusals = ({ problems, weaknesses }: Found): ReadonlyArray<HooksUnsafe | PreconditionFailed> => [
  ...(weaknesses.length === 0 ? [] : [new HooksUnsafe({ weaknesses })]),
  ...(problems.length === 0
    ? []
    : [
        new PreconditionFailed({
          what: problems.join("; "),
          next: "Name it right, make it executable, or take it away"
        })
      ])
]

/**
 * What a hook is about.
 *
 * @since 0.1.0
 * @category models
 */
export interface About {
  readonly run: string
  readonly vm?: string
  readonly vmmPid?: number
}

const runOne = (hook: string, path: string, action: "do" | "undo", { run, vm, vmmPid }: About) =>
  Executable.run([path], {
    environment: {
      LIVEUPDATE_HOOK: hook,
      LIVEUPDATE_ACTION: action,
      LIVEUPDATE_RUN: run,
      LIVEUPDATE_AGENT_PID: String(process.pid),
      ...(vm === undefined ? {} : { LIVEUPDATE_VM: vm }),
      ...(vmmPid === undefined ? {} : { LIVEUPDATE_VMM_PID: String(vmmPid) })
    },
    deadline: DEADLINE
  }).pipe(Effect.mapError((error) => new HookFailed({ hook, vm, reason: error.message })))

const runAll = (hooks: Hooks, hook: string, about: About) =>
  Effect.forEach(hooks[hook] ?? [], (path) => runOne(hook, path, "do", about), { discard: true })

/**
 * Runs a hook's executables, one after the other; the first that fails ends it.
 *
 * @since 0.1.0
 * @category operations
 */
export const run = (hooks: Hooks, hook: Name, about: About): Effect.Effect<void, HookFailed> =>
  runAll(hooks, hook, about)

/**
 * Tells them to take back what they did, in reverse order. They may be told without having done anything, and more than once. One that
 * fails doesn't stop the undo: it is said, and the next one is run.
 *
 * @since 0.1.0
 * @category operations
 */
export const undo = (hooks: Hooks, hook: Name, about: About): Effect.Effect<void> =>
  Effect.forEach(
    [...(hooks[hook] ?? [])].reverse(),
    (path) => Effect.catchAll(runOne(hook, path, "undo", about), (error) => Effect.logError(error.message)),
    { discard: true }
  )

/**
 * A moment for tests to make a fault at: between the intent and the effect of a phase (`before`), or between the effect and the receipt
 * (`after`). Never set but by `LIVEUPDATE_CHECKPOINTS`.
 *
 * @since 0.1.0
 * @category testing
 */
export const checkpoint = (
  hooks: Hooks,
  when: "before" | "after",
  phase: string,
  about: About
): Effect.Effect<void, HookFailed> => runAll(hooks, `${when}:${phase}`, about)

/**
 * `before:pause=/a,after:save-state=/b`, as a test names them.
 *
 * @since 0.1.0
 * @category testing
 */
export const checkpoints = (text: string): Hooks => {
  const pairs = text.split(",").flatMap((pair) => {
    const [name = "", path = ""] = pair.split("=")
    return path === "" ? [] : [[name, path] as const]
  })
  return Object.fromEntries(
    pairs.map(([name]) => [name, pairs.filter(([other]) => other === name).map(([, path]) => path)])
  )
}
