import type { SystemCalls } from "../../../sdk/src/internal/Kernel.ts"
import * as Raw from "../Raw.ts"
import { type Sequence, start } from "./Operation.ts"

export type Results = ReadonlyArray<ReadonlyArray<string>>

/** Each by a program of its own, which leaves nothing behind. */
export const run = async (calls: SystemCalls, sequences: ReadonlyArray<Sequence>): Promise<Results> => {
  const results: Array<ReadonlyArray<string>> = []
  for (const sequence of sequences) {
    const raw = Raw.make(calls)
    results.push(await start(raw)(sequence))
    raw.closeAll()
  }
  return results
}

/** Up to a jump: everything stays open, but for the device, which all of them want. */
export const runBefore = async (calls: SystemCalls, sequences: ReadonlyArray<Sequence>): Promise<Results> => {
  const results: Array<ReadonlyArray<string>> = []
  for (const sequence of sequences) {
    const raw = Raw.make(calls)
    results.push(await start(raw)([...sequence, { do: "closeDevice" }]))
  }
  return results
}
