// Runs inside the QEMU host, against its kernel. Prints one line of JSON for each finding, or for each sequence.
//
//   node conformance.mjs PROFILE scenarios
//   node conformance.mjs PROFILE random SEQUENCES
//   node conformance.mjs PROFILE before CROSSINGS KERNEL     ends with the jump
//   node conformance.mjs PROFILE after CROSSINGS
//
// PROFILE is `handlers` or `mainline`: which behaviours there are to be asked about.
import * as Fs from "node:fs"
import { errnoName } from "../../sdk/src/internal/errno.ts"
import { systemCalls } from "../../sdk/src/internal/libc.ts"
import { jump } from "./Jump.ts"
import type { Sequence } from "./random/Operation.ts"
import * as Random from "./random/Run.ts"
import * as Suite from "./Suite.ts"

/** Synchronously: after the jump nobody would write what is still in a buffer. */
const print = (lines: ReadonlyArray<unknown>) => {
  for (const line of lines) Fs.writeSync(1, `${JSON.stringify(line)}\n`)
}

const read = (path: string): ReadonlyArray<Sequence> => JSON.parse(Fs.readFileSync(path, "utf8"))

const [kind, command, file = "", kernel = ""] = process.argv.slice(2)
const profile = kind === "handlers" ? "handlers" : "7.3"
switch (command) {
  case "scenarios":
    print(await Suite.runScenarios(systemCalls, profile))
    break
  case "random":
    print(await Random.run(systemCalls, read(file)))
    break
  case "before": {
    print(await Suite.runBefore(systemCalls, profile))
    print(await Random.runBefore(systemCalls, read(file)))
    const refused = await jump(systemCalls, kernel, Fs.readFileSync("/proc/cmdline", "utf8").trim())
    throw new Error(`no jump: ${errnoName(-refused)}`)
  }
  case "after":
    print(await Suite.runAfter(systemCalls, profile))
    print(await Random.run(systemCalls, read(file)))
    break
  default:
    throw new Error(`no such command: ${command}`)
}
