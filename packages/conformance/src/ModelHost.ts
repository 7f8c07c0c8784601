import * as libc from "../../sdk/src/internal/libc.ts"
import { noFaults } from "../../sdk/src/internal/model/FileHandler.ts"
import * as Machine from "../../sdk/src/internal/model/Machine.ts"
import type { Profile } from "../../sdk/src/SimulatedHost.ts"
import { jump } from "./Jump.ts"
import type { Sequence } from "./random/Operation.ts"
import * as Random from "./random/Run.ts"
import * as Suite from "./Suite.ts"

/** The devices that a host for the profile `handlers` has. */
const pciDevices = [{ address: "0000:00:01.0" }, { address: "0000:00:02.0" }]

export const make = (profile: Profile = "7.3") =>
  Machine.make(libc.systemCalls, { profile, faults: noFaults, ...(profile === "handlers" ? { pciDevices } : {}) })

/** The whole suite on a model of its own, and sequences that are begun before its jump and continued after it. */
export const findings = async (
  firsts: ReadonlyArray<Sequence> = [],
  seconds: ReadonlyArray<Sequence> = [],
  profile: Profile = "7.3"
): Promise<Suite.Findings & { readonly firsts: Random.Results; readonly seconds: Random.Results }> => {
  const host = make(profile)
  const first = host.start()
  const scenarios = await Suite.runScenarios(first.calls, profile)
  const before = await Suite.runBefore(first.calls, profile)
  const firstResults = await Random.runBefore(first.calls, firsts)
  const refused = await Promise.race([first.ended, jump(first.calls, "/boot/vmlinuz-of-the-model", "")])
  if (refused !== undefined) throw new Error(`the model refuses to jump: ${refused}`)
  const second = host.start()
  const after = await Suite.runAfter(second.calls, profile)
  const secondResults = await Random.run(second.calls, seconds)
  host.end()
  return { scenarios, before, after, firsts: firstResults, seconds: secondResults }
}
