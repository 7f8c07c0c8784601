import type { Raw } from "./Raw.ts"

/** What was seen, by name. */
export type Verdict = Readonly<Record<string, string | number | boolean>>

type Later<A> = A | Promise<A>

/** One behaviour of the kernel: said in a sentence, then shown. */
export interface Scenario {
  readonly behaviour: string
  readonly run: (raw: Raw) => Later<Verdict>
  readonly expected: Verdict
}

/** One behaviour that shows itself across a jump; all of them share one. Session names must be the scenario's own. */
export interface Handover {
  readonly behaviour: string
  /** Nothing that it opens is closed before the jump. */
  readonly before: (raw: Raw) => Later<Verdict>
  readonly after: (raw: Raw) => Later<Verdict>
  readonly expected: { readonly before: Verdict; readonly after: Verdict }
}

export const scenario = (behaviour: string, expected: Verdict, run: Scenario["run"]): Scenario => ({
  behaviour,
  run,
  expected
})

export const handover = (
  behaviour: string,
  expected: Handover["expected"],
  before: Handover["before"],
  after: Handover["after"]
): Handover => ({ behaviour, before, after, expected })
