import type { Handover } from "../Scenario.ts"
import { files } from "./Files.ts"
import { sessions } from "./Sessions.ts"

/** What comes through a jump, and what becomes of it. */
export const handovers: ReadonlyArray<Handover> = [...sessions, ...files]
