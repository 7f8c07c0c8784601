#!/usr/bin/env node
import { main } from "./cli/Main.ts"

main(process.argv)
