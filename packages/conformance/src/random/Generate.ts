/** Sequences of operations, from a seed. Made outside: what runs inside the QEMU host gets them as a file. */
import * as FastCheck from "effect/FastCheck"
import type { Profile } from "../../../sdk/src/SimulatedHost.ts"
import { fileOperations, rest, sessionOperations } from "./Arbitrary.ts"
import { beginning, deviceOperations, iommufdOperations } from "./HardwareArbitrary.ts"
import type { Operation, Sequence } from "./Operation.ts"

/** A sequence that is begun on one kernel and continued on the next. */
export interface Crossing {
  readonly before: Sequence
  readonly after: Sequence
}

const { array, oneof, record } = FastCheck

const LENGTH = 40
const part = (operation: FastCheck.Arbitrary<Operation>) =>
  array(operation, { minLength: LENGTH / 2, maxLength: LENGTH, size: "max" })

const ofMemfds = part(oneof(...sessionOperations(""), ...fileOperations, ...rest))
const ofHardware = record({
  first: beginning,
  next: part(oneof(...sessionOperations(""), ...iommufdOperations, ...deviceOperations, ...rest))
}).map(({ first, next }): Sequence => [...first, ...next])

/** Whole sequences until there are so many operations in all; with handlers for more than memfds every other one is about these. */
export const sequences = (seed: number, operations: number, profile: Profile = "7.3"): ReadonlyArray<Sequence> => {
  const numRuns = Math.ceil(operations / (LENGTH / 2))
  const all = FastCheck.sample(profile === "handlers" ? oneof(ofMemfds, ofHardware) : ofMemfds, { seed, numRuns })
  const wanted: Array<Sequence> = []
  let sum = 0
  for (const sequence of all) {
    if (sum >= operations) break
    wanted.push(sequence)
    sum += sequence.length
  }
  return wanted
}

/** What comes first on the next kernel finds something to work on. */
const wakeUp = (prefix: string): Sequence => [
  ...["a", "b", "c", "d"].map((name): Operation => ({ do: "retrieveSession", name: `${prefix}${name}` })),
  ...[0, 1, 2, 3].map((index): Operation => ({ do: "retrieve", session: index, token: "1" }))
]

/**
 * They are all alive at the same jump, so each has names of its own. None has what can refuse the jump (a guest's memory without its
 * VM), or what there is one of (a device).
 */
export const crossings = (seed: number, count: number, profile: Profile = "7.3"): ReadonlyArray<Crossing> =>
  Array.from({ length: count }, (_, index) => {
    const prefix = `${index}-`
    const others = profile === "handlers" && index % 2 === 0 ? iommufdOperations : fileOperations
    const half = part(oneof(...sessionOperations(prefix), ...others))
    const [crossing] = FastCheck.sample(record({ before: half, after: half }), { seed: seed + index, numRuns: 1 })
    if (crossing === undefined) throw new Error("fast-check gave no sample")
    return { before: crossing.before, after: [...wakeUp(prefix), ...crossing.after] }
  })
