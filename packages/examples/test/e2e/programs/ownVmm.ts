// The agent with own-vmm's driver in place of QEMU's: start VMM · upgrade KERNEL · resume · look.
import * as Fs from "node:fs"
import { NodeRuntime } from "@effect/platform-node"
import * as Layers from "@liveupdate/agent/cli/Layers"
import * as Output from "@liveupdate/agent/cli/Output"
import * as ResumeMain from "@liveupdate/agent/cli/ResumeMain"
import * as HostFacts from "@liveupdate/agent/upgrade/HostFacts"
import * as RunLog from "@liveupdate/agent/upgrade/RunLog"
import * as Upgrade from "@liveupdate/agent/upgrade/Upgrade"
import * as Lifecycle from "@liveupdate/agent/vmm/Lifecycle"
import { VmStore } from "@liveupdate/agent/vmm/VmStore"
import { Effect, Layer } from "effect"
import * as ToyVmm from "../../../src/own-vmm/ToyVmm.ts"

const SLOT = 8

const say = (what: unknown) => Effect.sync(() => void process.stdout.write(`${JSON.stringify(what)}\n`))

const start = (vmm: string) =>
  Effect.flatMap(
    Lifecycle.start({
      id: "toy",
      memoryBytes: 16 << 20,
      cpus: 1,
      machine: "toy",
      accelerator: "tcg",
      cpu: "toy",
      disks: [],
      binary: "/usr/lib/liveupdate/node",
      args: [vmm]
    }),
    ({ pid }) => say({ pid })
  )

const upgrade = (kernel: string) =>
  Effect.gen(function* () {
    const log = yield* RunLog.open({ run: "own-vmm", listener: Output.eventListener("human") })
    yield* Upgrade.upgrade({ vms: ["toy"], kernel, commandLine: yield* HostFacts.commandLine }, log)
  }).pipe(Effect.scoped)

/** How far the guest has come, and whether every number that it has reached is in its RAM, at its place. */
const look = Effect.gen(function* () {
  const { pid, ramFd } = yield* (yield* VmStore).get("toy")
  const bytes = Fs.readFileSync(`/proc/${pid}/fd/${ramFd}`)
  const words = Array.from({ length: bytes.length / SLOT }, (_, slot) => bytes.readDoubleLE(slot * SLOT))
  const count = words.indexOf(0, 1) - 1
  yield* say({ pid, count, intact: words.every((word, slot) => word === (slot <= count ? slot : 0)) })
})

const [what, argument = ""] = process.argv.slice(2)

Effect.gen(function* () {
  switch (what) {
    case "start":
      return yield* start(argument)
    case "upgrade":
      return yield* upgrade(argument)
    case "resume":
      return yield* say(yield* ResumeMain.program(Output.eventListener("human")))
    default:
      return yield* look
  }
}).pipe(Effect.provide(Layer.merge(Layers.host, ToyVmm.layer)), NodeRuntime.runMain)
