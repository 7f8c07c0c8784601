#!/usr/bin/env node
// Entry of the keeper: node KeeperMain.js DIRECTORY
import { run } from "./KeeperProgram.ts"

process.exitCode = run(process.argv[2])
