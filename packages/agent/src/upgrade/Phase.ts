/**
 * What a live update is made of: phases in their order. Each is a file of `phases/`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * Before the jump every phase can be undone; `at` is the jump itself; after it there is only forward.
 *
 * @since 0.1.0
 * @category models
 */
export type Side = "before" | "at" | "after"

/**
 * What the state machine has to know of a phase.
 *
 * @since 0.1.0
 * @category models
 */
export interface Phase {
  readonly name: string
  readonly side: Side
  /** Once for the host, or once for each VM. */
  readonly per: "host" | "vm"
  /** Of a VM's phase: it begins when every other VM has come as far. A host's phase always waits for all of them. */
  readonly barrier: boolean
  /** At how many VMs at once. */
  readonly concurrency: number
  /** It counts as failed after that. */
  readonly deadline: Duration.Duration
}

/**
 * A phase of the host.
 *
 * @since 0.1.0
 * @category constructors
 */
export const host = <const Name extends string>(
  name: Name,
  side: Side,
  deadline: Duration.Duration
): Phase & { readonly name: Name } => ({ name, side, per: "host", barrier: true, concurrency: 1, deadline })

/**
 * A phase of each VM.
 *
 * @since 0.1.0
 * @category constructors
 */
export const vm = <const Name extends string>(
  name: Name,
  side: Side,
  deadline: Duration.Duration,
  how: { readonly barrier?: boolean; readonly concurrency?: number } = {}
): Phase & { readonly name: Name } => ({
  name,
  side,
  per: "vm",
  barrier: how.barrier ?? false,
  concurrency: how.concurrency ?? Number.POSITIVE_INFINITY,
  deadline
})

/**
 * Deadlines of phases by name, in seconds, where they are not the phases' own.
 *
 * @since 0.1.0
 * @category models
 */
export type Deadlines = Readonly<Record<string, number>>

/**
 * The same phase with its deadline of these. The jump has none: nothing may end it half-way.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDeadline = (phase: Phase, deadlines: Deadlines = {}): Phase => {
  const seconds = deadlines[phase.name]
  return seconds === undefined || phase.side === "at" ? phase : { ...phase, deadline: Duration.seconds(seconds) }
}

/**
 * The same phases with these deadlines.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDeadlines = (phases: ReadonlyArray<Phase>, deadlines: Deadlines = {}): ReadonlyArray<Phase> =>
  phases.map((phase) => withDeadline(phase, deadlines))
