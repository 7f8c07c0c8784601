#!/usr/bin/env node
import { main } from "./cli/ResumeMain.ts"

main(process.argv.includes("ndjson") || process.argv.includes("--output=ndjson") ? "ndjson" : "human")
