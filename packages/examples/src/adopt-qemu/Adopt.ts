/**
 * Makes a QEMU that something else has started a VM of the agent's: finds its RAM, asks it what it is, and writes the record that
 * `agent vm list`, `agent plan` and `agent upgrade` go by. The QEMU is asked, not changed.
 */
import * as Fs from "node:fs"
import * as ProcStat from "@liveupdate/agent/vmm/ProcStat"
import * as Qmp from "@liveupdate/agent/vmm/Qmp"
import { makeRecord, type VmConfig } from "@liveupdate/agent/vmm/Vm"
import { Vmm } from "@liveupdate/agent/vmm/Vmm"
import { VmStore } from "@liveupdate/agent/vmm/VmStore"
import { Clock, Data, Effect, Schema } from "effect"

/** It can't be adopted as it is; nothing was written. */
export class NotAdoptable extends Data.TaggedError("NotAdoptable")<{ readonly vm: string; readonly problem: string }> {
  override get message(): string {
    return `VM ${this.vm} can't be adopted: ${this.problem}`
  }
}

export interface Running {
  readonly pid: number
  /** A monitor that nobody else is connected to: QEMU serves one client on each. */
  readonly qmpPath: string
  /** The file behind its serial console. */
  readonly consolePath: string
}

/** The memfds of this size that the process has open, one descriptor of each. */
const memfdsOf = (pid: number, bytes: number): ReadonlyArray<number> => {
  const found = new Map<number, number>()
  for (const fd of Fs.readdirSync(`/proc/${pid}/fd`)) {
    const path = `/proc/${pid}/fd/${fd}`
    // A QEMU that runs opens and closes files all the time.
    const file = Fs.statSync(path, { throwIfNoEntry: false })
    if (file?.size !== bytes || !file.isFile()) continue
    if (Fs.readlinkSync(path).startsWith("/memfd:")) found.set(file.ino, Number(fd))
  }
  return [...found.values()]
}

const Backends = Schema.Array(Schema.Struct({ id: Schema.String, size: Schema.Number, share: Schema.Boolean }))

/** What the agent's command line will be for the VMM under the next kernel has to be what this one was started as. */
const compare = (config: VmConfig, qmpPath: string) =>
  Effect.gen(function* () {
    const qmp = yield* Qmp.connect(qmpPath, Qmp.COMMAND_DEADLINE)
    const type = yield* qmp.execute("qom-get", { path: "/machine", property: "type" })
    const [machine] = config.machine.split(",")
    const backends = yield* Schema.decodeUnknown(Backends)(yield* qmp.execute("query-memdev"))
    const ram = backends.find(({ id }) => id === "ram")
    if (type !== `${machine}-machine`) return `its machine is ${String(type)}, and is described as ${machine}`
    if (ram === undefined)
      return `its memory backend has to be called "ram", not ${backends.map(({ id }) => id).join()}`
    if (!ram.share || ram.size !== config.memoryBytes) return "its RAM is not shared, or of another size than described"
    return undefined
  })

export const adopt = (config: VmConfig, { pid, qmpPath, consolePath }: Running) =>
  Effect.gen(function* () {
    const refuse = (problem: string) => new NotAdoptable({ vm: config.id, problem })
    const store = yield* VmStore
    const vmm = yield* Vmm
    if ((yield* store.ids).includes(config.id)) return yield* refuse("the agent has a VM of this name")
    const [ramFd, ...others] = yield* Effect.try({
      try: () => memfdsOf(pid, config.memoryBytes),
      catch: (error) => refuse(`process ${pid} can't be looked at: ${String(error)}`)
    })
    if (ramFd === undefined || others.length > 0)
      return yield* refuse(`it has ${others.length + (ramFd === undefined ? 0 : 1)} memfds of the size of its RAM`)
    const difference = yield* Effect.scoped(compare(config, qmpPath))
    if (difference !== undefined) return yield* refuse(difference)
    const paths = { ...(yield* store.prepare(config.id)), qmpPath, consolePath }
    const process = { pid, pidStartTime: (yield* ProcStat.startTime(pid)) ?? "", ramFd, config }
    const record = makeRecord(paths, process, yield* Clock.currentTimeMillis)
    // As the agent will: it has to answer, and nothing in it may refuse to be saved.
    const blockers = yield* Effect.scoped(Effect.flatMap(vmm.connect(record), (_) => _.saveBlockers))
    if (blockers.length > 0) return yield* refuse(blockers.join("; "))
    yield* store.put(record)
    return record
  })
