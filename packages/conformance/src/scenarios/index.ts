import type { Profile } from "../../../sdk/src/SimulatedHost.ts"
import type { Scenario } from "../Scenario.ts"
import { descriptors } from "./Descriptors.ts"
import { device } from "./Device.ts"
import { hardware } from "./Hardware.ts"
import { kexec } from "./Kexec.ts"
import { memory } from "./Memory.ts"
import { preserve } from "./Preserve.ts"
import { requests } from "./Requests.ts"
import { sessions } from "./Sessions.ts"

/** What the kernel does as long as it doesn't jump. */
export const scenariosOf = (profile: Profile): ReadonlyArray<Scenario> => [
  ...device,
  ...sessions,
  ...requests,
  ...preserve,
  ...memory,
  ...descriptors,
  ...kexec,
  ...(profile === "handlers" ? hardware : [])
]
