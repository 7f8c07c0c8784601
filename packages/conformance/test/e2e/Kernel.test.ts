/** Mainline: the current kernel, or `LIVEUPDATE_PROFILE=7.2` the series before. */
import { suite } from "./KernelSuite.ts"

const wanted = process.env["LIVEUPDATE_PROFILE"] ?? "7.3"
if (wanted !== "7.3" && wanted !== "7.2") throw new Error(`LIVEUPDATE_PROFILE=${wanted}: give 7.3 or 7.2`)

suite(wanted)
