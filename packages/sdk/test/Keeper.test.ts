import { fileURLToPath } from "node:url"
import { keeperBehaviours } from "./keeperBehaviours.ts"

keeperBehaviours("Keeper", {
  file: process.execPath,
  args: [fileURLToPath(new URL("../dist/KeeperMain.js", import.meta.url))]
})
