#!/usr/bin/env node
// Entry of `agent resume`, alone or frozen into a start-up snapshot (`node --build-snapshot`): see upgrade/QuickStart.ts.
import { startupSnapshot } from "node:v8"
import { start } from "./cli/ResumeMain.ts"
import { rehearse } from "./cli/ResumeRehearsal.ts"

const begin = () => (process.argv.includes("--rehearse") ? rehearse() : start(process.argv))

if (startupSnapshot.isBuildingSnapshot()) {
  startupSnapshot.setDeserializeMainFunction(begin)
  rehearse()
} else begin()
