import type { SystemCalls } from "../../sdk/src/internal/Kernel.ts"
import type { Profile } from "../../sdk/src/SimulatedHost.ts"
import { handoversOf } from "./handovers/index.ts"
import * as Raw from "./Raw.ts"
import type { Verdict } from "./Scenario.ts"
import { scenariosOf } from "./scenarios/index.ts"

/** What one kernel said about one behaviour. */
export interface Finding {
  readonly behaviour: string
  readonly verdict: Verdict
}

/** What one kernel, or two in a row, said about all of them. */
export interface Findings {
  readonly scenarios: ReadonlyArray<Finding>
  readonly before: ReadonlyArray<Finding>
  readonly after: ReadonlyArray<Finding>
}

const settle = async (raw: Raw.Raw, behaviour: string, run: (raw: Raw.Raw) => Verdict | Promise<Verdict>) => {
  try {
    return { behaviour, verdict: await run(raw) }
  } catch (error) {
    return { behaviour, verdict: { threw: error instanceof Error ? error.message : String(error) } }
  }
}

export const runScenarios = async (calls: SystemCalls, profile: Profile): Promise<ReadonlyArray<Finding>> => {
  const findings: Array<Finding> = []
  for (const { behaviour, run } of scenariosOf(profile)) {
    const raw = Raw.make(calls)
    findings.push(await settle(raw, behaviour, run))
    raw.closeAll()
  }
  return findings
}

/** Everything but the device stays open: the caller jumps next. */
export const runBefore = async (calls: SystemCalls, profile: Profile): Promise<ReadonlyArray<Finding>> => {
  const raw = Raw.make(calls)
  const findings: Array<Finding> = []
  for (const { before, behaviour } of handoversOf(profile)) findings.push(await settle(raw, behaviour, before))
  raw.close(raw.device())
  return findings
}

export const runAfter = async (calls: SystemCalls, profile: Profile): Promise<ReadonlyArray<Finding>> => {
  const findings: Array<Finding> = []
  for (const { after, behaviour } of handoversOf(profile)) {
    const raw = Raw.make(calls)
    findings.push(await settle(raw, behaviour, after))
    raw.closeAll()
  }
  return findings
}
