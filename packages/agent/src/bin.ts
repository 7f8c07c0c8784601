#!/usr/bin/env node
import { startupSnapshot } from "node:v8"
import { main } from "./cli/Main.ts"

const begin = () => main(process.argv)

// On a host it is frozen into a start-up snapshot when it is installed: launcher/snapshot.
if (startupSnapshot.isBuildingSnapshot()) startupSnapshot.setDeserializeMainFunction(begin)
else begin()
