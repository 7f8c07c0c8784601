/** What is left of a sequence when all has been taken out that doesn't matter: one batch of shorter ones after the other. */
import type { Sequence } from "./Operation.ts"

/** The sequence without each of its parts of this length. */
const without = (sequence: Sequence, length: number): ReadonlyArray<Sequence> =>
  Array.from({ length: Math.ceil(sequence.length / length) }, (_, part) => [
    ...sequence.slice(0, part * length),
    ...sequence.slice((part + 1) * length)
  ])

/** Shorter ones, the shortest first. */
export const candidates = (sequence: Sequence): ReadonlyArray<Sequence> => {
  const lengths = [2, 4, 8, 16].map((parts) => Math.floor(sequence.length / parts)).filter((length) => length > 1)
  return [...lengths, 1].flatMap((length) => without(sequence, length))
}

/** `differs` says which of a batch still do; asked again until none does. */
export const shrink = async (
  sequence: Sequence,
  differs: (batch: ReadonlyArray<Sequence>) => Promise<ReadonlyArray<boolean>>
): Promise<Sequence> => {
  const batch = candidates(sequence)
  const found = (await differs(batch)).indexOf(true)
  const shorter = found === -1 ? undefined : batch[found]
  return shorter === undefined ? sequence : shrink(shorter, differs)
}
