#!/usr/bin/env node
// Entry of `agent resume`, alone or frozen into a start-up snapshot (`node --build-snapshot`): see upgrade/QuickStart.ts.
import { startupSnapshot } from "node:v8"
import { main } from "./cli/ResumeMain.ts"
import { rehearse } from "./cli/ResumeRehearsal.ts"

const start = () =>
  process.argv.includes("--rehearse")
    ? rehearse()
    : main(process.argv.some((argument) => argument.endsWith("ndjson")) ? "ndjson" : "human")

if (startupSnapshot.isBuildingSnapshot()) {
  startupSnapshot.setDeserializeMainFunction(start)
  rehearse()
} else start()
