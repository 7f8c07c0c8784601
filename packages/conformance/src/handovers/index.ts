import type { Profile } from "../../../sdk/src/SimulatedHost.ts"
import type { Handover } from "../Scenario.ts"
import { files } from "./Files.ts"
import { hardware } from "./Hardware.ts"
import { sessions } from "./Sessions.ts"

/** What comes through a jump, and what becomes of it. */
export const handoversOf = (profile: Profile): ReadonlyArray<Handover> => [
  ...sessions,
  ...files,
  ...(profile === "handlers" ? hardware : [])
]
