// adopt CONFIG.json PID QMP_SOCKET CONSOLE_FILE
import { readFileSync } from "node:fs"
import * as Handover from "@liveupdate/agent/upgrade/Handover"
import * as Qemu from "@liveupdate/agent/vmm/Qemu"
import * as VmStore from "@liveupdate/agent/vmm/VmStore"
import { Effect, Layer, Schema } from "effect"
import { adopt } from "./Adopt.ts"

const [file = "", pid, qmpPath = "", consolePath = ""] = process.argv.slice(2)
Schema.decodeUnknown(Schema.parseJson(Handover.VmConfig))(readFileSync(file, "utf8"))
  .pipe(
    Effect.flatMap((config) => adopt(config, { pid: Number(pid), qmpPath, consolePath })),
    Effect.provide(Layer.merge(Qemu.layer, VmStore.layer)),
    Effect.runPromise
  )
  .then(
    ({ id }) => process.stdout.write(`VM ${id} is the agent's now: agent vm list\n`),
    (error: unknown) => {
      process.exitCode = 1
      process.stderr.write(`${String(error)}\n`)
    }
  )
