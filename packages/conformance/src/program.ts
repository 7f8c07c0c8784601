// Runs inside the QEMU host, against its kernel: node conformance.mjs scenarios | before KERNEL | after. One JSON object per line.
import * as Fs from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { errnoName } from "../../sdk/src/internal/errno.ts"
import { O_RDWR } from "../../sdk/src/internal/Kernel.ts"
import { systemCalls } from "../../sdk/src/internal/libc.ts"
import { jump } from "./Jump.ts"
import * as Suite from "./Suite.ts"

/** Synchronously: after the jump nobody would write what is still in a buffer. */
const print = (lines: ReadonlyArray<unknown>) => {
  for (const line of lines) Fs.writeSync(1, `${JSON.stringify(line)}\n`)
}

/** systemd opens it at boot, too. */
const deviceIsFree = async (): Promise<void> => {
  for (let attempt = 0; attempt < 600; attempt++) {
    const fd = systemCalls.openFile("/dev/liveupdate", O_RDWR)
    if (fd >= 0) {
      systemCalls.close(fd)
      return
    }
    await sleep(50)
  }
  throw new Error("/dev/liveupdate stays in use")
}

const [command, argument = ""] = process.argv.slice(2)
await deviceIsFree()
switch (command) {
  case "scenarios":
    print(await Suite.runScenarios(systemCalls))
    break
  case "before":
    print(await Suite.runBefore(systemCalls))
    throw new Error(
      `no jump: ${errnoName(-(await jump(systemCalls, argument, Fs.readFileSync("/proc/cmdline", "utf8").trim())))}`
    )
  case "after":
    print(await Suite.runAfter(systemCalls))
    break
  default:
    throw new Error(`no such command: ${command}`)
}
