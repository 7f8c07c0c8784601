/**
 * An entry for every error that the SDK exports. A new member of the family without one doesn't compile; any other fails the page's test.
 */
import { after } from "./sections/after.ts"
import { device } from "./sections/device.ts"
import { file } from "./sections/file.ts"
import { host } from "./sections/host.ts"
import { program } from "./sections/program.ts"
import type { Sections } from "./sections/Section.ts"

export const sections: Sections = { ...after, ...host, ...file, ...device, ...program }
