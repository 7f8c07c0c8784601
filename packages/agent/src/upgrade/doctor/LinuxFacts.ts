/**
 * The facts of the machine that this runs on: files of /proc and /sys, and what the kernel answers to the SDK's probes.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Capabilities from "@liveupdate/sdk/Capabilities"
import * as HostLock from "@liveupdate/sdk/HostLock"
import * as KernelRelease from "@liveupdate/sdk/KernelRelease"
import * as LiveUpdate from "@liveupdate/sdk/LiveUpdate"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ProcStat from "../../vmm/ProcStat.ts"
import { VmStore } from "../../vmm/VmStore.ts"
import * as CarriedAgent from "../CarriedAgent.ts"
import * as Event from "../Event.ts"
import * as HostFacts from "../HostFacts.ts"
import * as Journal from "../Journal.ts"
import * as QuickStart from "../QuickStart.ts"
import * as RunLog from "../RunLog.ts"
import {
  absent,
  type Directory,
  DoctorFacts,
  type Fact,
  type Facts,
  known,
  type Process,
  unknown,
  value
} from "./Facts.ts"
import { at, text } from "./FileFacts.ts"
import * as OpenFiles from "./OpenFiles.ts"
import * as RunningKernel from "./RunningKernel.ts"

const sizeOf = (path: string): Fact<number> => at(path, () => Fs.statSync(path).size)

const lockHolder = (): Fact<Process | undefined> => {
  const file = at(HostLock.path, () => Fs.statSync(HostLock.path))
  if (file._tag === "absent") return known(undefined)
  if (file._tag === "unknown") return file
  return at("/proc/locks", () => {
    const pid = OpenFiles.lockedBy(Fs.readFileSync("/proc/locks", "latin1"), file.value)
    return pid === undefined ? undefined : OpenFiles.processOf(pid)
  })
}

/**
 * Opening the device keeps others out for that moment. An agent at work tries again (`Turn.ofDevice`), but guests may stand still meanwhile: so
 * it is left alone then.
 */
const device = (
  root: boolean,
  lock: Fact<Process | undefined>
): Effect.Effect<Facts["device"], never, LiveUpdate.LiveUpdate> => {
  if (root && lock._tag !== "known")
    return Effect.succeed({ _tag: "skipped", reason: "whether another agent is at work can't be seen" })
  if (lock._tag === "known" && lock.value !== undefined)
    return Effect.succeed({ _tag: "skipped", reason: "another agent is at work" })
  return LiveUpdate.probe.pipe(
    Effect.match({
      onFailure: (error) => ({ _tag: "refused", error }) as const,
      onSuccess: () => ({ _tag: "usable" }) as const
    })
  )
}

/** A session and files of the probe's own, gone when it returns; it opens the device once more. */
const capabilities = (device: Facts["device"]): Effect.Effect<Facts["capabilities"]> =>
  device._tag === "usable"
    ? Capabilities.probe().pipe(
        Effect.match({ onFailure: (error) => unknown(error.message), onSuccess: (asked) => known(asked) })
      )
    : Effect.succeed(unknown("/dev/liveupdate is not there to ask, or not open to this process"))

const BLOCK = 512

const guests: Effect.Effect<Facts["guests"], never, VmStore> = Effect.gen(function* () {
  const store = yield* VmStore
  const running = yield* Effect.filter(yield* store.list, ProcStat.isRunning)
  return known(
    running.map(({ config, id, pid, ramFd }) => {
      const ram = at(`/proc/${pid}/fd/${ramFd}`, () => Fs.statSync(`/proc/${pid}/fd/${ramFd}`).blocks * BLOCK)
      return { id, memoryBytes: config.memoryBytes, allocatedBytes: ram._tag === "known" ? ram.value : 0 }
    })
  )
}).pipe(Effect.catchAll((error) => Effect.succeed(unknown(error.message))))

const lastRun = (): Facts["lastRun"] => {
  const runs = at(RunLog.defaultDirectory, () => Fs.readdirSync(RunLog.defaultDirectory).sort())
  if (runs._tag !== "known") return runs
  const run = runs.value.at(-1)
  if (run === undefined) return absent(`run in ${RunLog.defaultDirectory}`)
  const log = text(RunLog.fileOf(run))
  if (log._tag === "unknown") return log
  const events = Event.parseLines((value(log) ?? "").split("\n"))
  return known({ run, result: events.findLast((event) => event.type === "outcome")?.result })
}

const pendingRun: Effect.Effect<Facts["pendingRun"]> = Effect.gen(function* () {
  const reading = yield* Journal.read()
  if (reading._tag === "corrupt") return unknown(`${Journal.path}: ${reading.reason}`)
  const ours = reading._tag === "unfinished" && reading.begin.boot === (yield* HostFacts.bootId)
  return ours ? known(reading.begin.run) : absent(Journal.path)
})

const UNIT = "liveupdate-resume.service"

/** Where units are, the first one winning (systemd.unit(5)). */
const unitDirectories = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system"
]

const unit = (): Facts["unit"] => {
  for (const directory of unitDirectories) {
    const path = `${directory}/${UNIT}`
    const found = at(path, () => ({ path, masked: Fs.realpathSync(path) === "/dev/null" }))
    if (found._tag !== "absent") return found
  }
  return absent(UNIT)
}

const unitWantedBy = (): ReadonlyArray<string> =>
  unitDirectories.flatMap((directory) => {
    const names = at(directory, () => Fs.readdirSync(directory))
    if (names._tag !== "known") return []
    return names.value
      .filter((name) => /\.(wants|requires)$/.test(name))
      .filter((name) => at(UNIT, () => Fs.lstatSync(`${directory}/${name}/${UNIT}`))._tag === "known")
      .map((name) => name.replace(/\.(wants|requires)$/, ""))
  })

/** What the unit and the first process start. */
const EARLY = "/usr/lib/liveupdate/early"

const directory = (path: string): Fact<Directory> =>
  at(path, () => {
    const { mode, uid } = Fs.statSync(path)
    return { path, uid, mode: mode & 0o777 }
  })

const look = Effect.gen(function* () {
  const root = process.getuid?.() === 0
  const release = yield* KernelRelease.running
  const lock = lockHolder()
  const opened = yield* device(root, lock)
  const open = root ? known(OpenFiles.scan()) : unknown("only root sees what others have open")
  return {
    root,
    release,
    machine: Os.machine(),
    commandLine: yield* HostFacts.commandLine,
    config: RunningKernel.config(release),
    device: opened,
    deviceHolders: open._tag === "known" ? known(open.value.deviceHolders) : open,
    sessions: open._tag === "known" ? known(open.value.sessions) : open,
    capabilities: yield* capabilities(opened),
    scratch: text("/sys/kernel/debug/kho/out/scratch_len"),
    khoTree: RunningKernel.khoTree(),
    luoState: RunningKernel.luoState(),
    meminfo: text("/proc/meminfo"),
    guests: root ? yield* guests : unknown("only root sees which VMs there are"),
    imageBytes: sizeOf(`/boot/vmlinuz-${release}`),
    nodeBytes: sizeOf(process.execPath),
    snapshotBytes: sizeOf(QuickStart.blob),
    hugePages: text("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
    lockdown: text("/sys/kernel/security/lockdown"),
    kexecDisabled: text("/proc/sys/kernel/kexec_load_disabled"),
    kexecLoadsLeft: text("/proc/sys/kernel/kexec_load_limit_reboot"),
    kexecLoaded: text("/sys/kernel/kexec_loaded"),
    lockHolder: lock,
    pendingRun: yield* pendingRun,
    lastRun: lastRun(),
    firstProcess: text("/proc/1/comm"),
    unit: unit(),
    unitWantedBy: unitWantedBy(),
    early: at(EARLY, () => (Fs.statSync(EARLY).mode & 0o111) !== 0),
    firstProcessMark: text(CarriedAgent.firstProcessMark),
    directories: ["/var/lib/liveupdate", "/run/liveupdate"].map(directory)
  } satisfies Facts
})

/**
 * This machine.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<DoctorFacts, never, LiveUpdate.LiveUpdate | VmStore> = Layer.effect(
  DoctorFacts,
  Effect.map(Effect.context<LiveUpdate.LiveUpdate | VmStore>(), (context) => ({ look: Effect.provide(look, context) }))
)
