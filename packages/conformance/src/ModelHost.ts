import * as libc from "../../sdk/src/internal/libc.ts"
import { noFaults } from "../../sdk/src/internal/model/FileHandler.ts"
import * as Machine from "../../sdk/src/internal/model/Machine.ts"
import type { Profile } from "../../sdk/src/SimulatedHost.ts"
import { jump } from "./Jump.ts"
import * as Suite from "./Suite.ts"

export const make = (profile: Profile = "7.3") => Machine.make(libc.systemCalls, { profile, faults: noFaults })

/** The whole suite on a model of its own. */
export const findings = async (): Promise<Suite.Findings> => {
  const host = make()
  const first = host.start()
  const scenarios = await Suite.runScenarios(first.calls)
  const before = await Suite.runBefore(first.calls)
  const refused = await Promise.race([first.ended, jump(first.calls, "/boot/vmlinuz-of-the-model", "")])
  if (refused !== undefined) throw new Error(`the model refuses to jump: ${refused}`)
  const after = await Suite.runAfter(host.start().calls)
  host.end()
  return { scenarios, before, after }
}
