/**
 * The QEMU driver of `Vmm`.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as DetachedProcess from "./DetachedProcess.ts"
import * as ListeningSocket from "./ListeningSocket.ts"
import * as ProcStat from "./ProcStat.ts"
import * as QemuCommandLine from "./QemuCommandLine.ts"
import { connection, exited, explain, type Process } from "./QemuConnection.ts"
import * as Qmp from "./Qmp.ts"
import { RAM_FD, type VmConfig, type VmPaths, type VmProcess } from "./Vm.ts"
import { type LaunchOptions, Vmm } from "./Vmm.ts"
import { type ProcessExit, type QmpError, type VmmError, VmmStartFailed } from "./VmmError.ts"

/** Start-up: dynamic linking and device models, on a host that may be emulated itself. */
const START_DEADLINE = Duration.seconds(90)

/** Every way to fail before there is a process. */
const startFailed = (vm: string, operation: string, path: string) => (error: NodeJS.ErrnoException) =>
  new VmmStartFailed({ vm, operation, path, reason: error.code ?? error.message })

const openLog = (vm: string, path: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => fs.openSync(path, "a", 0o600),
      catch: (error) => startFailed(vm, "open", path)(error as NodeJS.ErrnoException)
    }),
    (fd) => Effect.sync(() => fs.closeSync(fd))
  )

/** QEMU would grow a file that is too small: guest RAM has the size it has, or this is not this VM's RAM. */
const checkRam = (config: VmConfig, fd: number) =>
  Effect.try({
    try: () => fs.fstatSync(fd).size,
    catch: (error) => startFailed(config.id, "inspect guest RAM", `fd ${fd}`)(error as NodeJS.ErrnoException)
  }).pipe(
    Effect.filterOrFail(
      (size) => size === config.memoryBytes,
      (size) =>
        new VmmStartFailed({
          vm: config.id,
          operation: "inspect guest RAM",
          path: `fd ${fd}`,
          reason: `it has ${size} bytes, the VM has ${config.memoryBytes}`
        })
    )
  )

/**
 * `q35` and other aliases stand for the newest version of a machine that this binary knows. The name that the saved state belongs to is
 * the versioned one.
 */
const pinMachine = (config: VmConfig, qmp: Qmp.Qmp): Effect.Effect<VmConfig, QmpError> =>
  Effect.map(qmp.execute("qom-get", { path: "/machine", property: "type" }), (type) => {
    const [, ...options] = config.machine.split(",")
    return typeof type === "string" && type.endsWith("-machine")
      ? { ...config, machine: [type.slice(0, -"-machine".length), ...options].join(",") }
      : config
  })

const launch = Effect.fn("Qemu.launch")(function* (config: VmConfig, paths: VmPaths, options: LaunchOptions) {
  yield* checkRam(config, options.ramFd)
  const spawn = Effect.scoped(
    Effect.gen(function* () {
      const log = yield* openLog(config.id, paths.logPath)
      // QEMU would create it for everybody to read.
      yield* openLog(config.id, paths.consolePath)
      const logFrom = fs.fstatSync(log).size
      const socket = yield* Effect.mapError(
        ListeningSocket.make(paths.qmpPath),
        startFailed(config.id, "listen at", paths.qmpPath)
      )
      const child = yield* Effect.mapError(
        DetachedProcess.spawn(config.binary, QemuCommandLine.make(config, paths, options), [
          log,
          log,
          options.ramFd,
          socket.fd
        ]),
        startFailed(config.id, "run", config.binary)
      )
      return { child, logFrom }
    })
  )
  return yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { child, logFrom } = yield* spawn
      const qemu: Process = {
        vm: config.id,
        pid: child.pid,
        ramFd: RAM_FD,
        logPath: paths.logPath,
        logFrom,
        exit: child.exit,
        kill: child.kill
      }
      const identify = Effect.gen(function* () {
        const qmp = yield* connectTo(qemu, paths.qmpPath, START_DEADLINE)
        const pinned = options.incoming ? config : yield* pinMachine(config, qmp)
        return {
          process: {
            pid: child.pid,
            pidStartTime: child.pidStartTime,
            ramFd: RAM_FD,
            config: pinned
          } satisfies VmProcess,
          connection: connection(qemu, qmp)
        }
      })
      return yield* restore(identify).pipe(Effect.onError(() => child.kill))
    })
  )
})

/** A connection that ends before it is of use is explained by the end of the process, if that is what happened. */
const connectTo = (
  qemu: Process,
  path: string,
  deadline: Duration.Duration
): Effect.Effect<Qmp.Qmp, VmmError, Scope.Scope> =>
  Effect.catchTags(Qmp.connect(path, deadline), {
    QmpClosed: (closed) => explain(qemu, closed),
    QmpConnectFailed: (failed) => explain(qemu, failed)
  })

/** The kernel tells only a parent of a child's end: a QEMU of an earlier agent has to be looked at. */
const strangerExit = (isRunning: Effect.Effect<boolean>): Effect.Effect<ProcessExit> =>
  isRunning.pipe(
    Effect.repeat({ while: (running) => running, schedule: Schedule.spaced("5 millis") }),
    Effect.as<ProcessExit>({ _tag: "unknown" })
  )

/** A QEMU that somebody else has started. */
const stranger = (vm: string, process: Omit<VmProcess, "config">, logPath: string): Process => {
  const isRunning = ProcStat.isRunning(process)
  const exit = strangerExit(isRunning)
  return {
    vm,
    pid: process.pid,
    ramFd: process.ramFd,
    logPath,
    logFrom: 0,
    exit,
    kill: Effect.zipRight(Effect.whenEffect(DetachedProcess.kill(process.pid), isRunning), Effect.asVoid(exit))
  }
}

const connect: Vmm["Type"]["connect"] = Effect.fn("Qemu.connect")(function* (record) {
  const qemu = stranger(record.id, record, record.logPath)
  if (!(yield* ProcStat.isRunning(record))) return yield* exited(qemu, { _tag: "unknown" })
  return connection(qemu, yield* connectTo(qemu, record.qmpPath, Qmp.COMMAND_DEADLINE))
})

const incomingCommand: Vmm["Type"]["incomingCommand"] = (config, paths) => [
  config.binary,
  ...QemuCommandLine.make(config, paths, { incoming: true })
]

const adopt: Vmm["Type"]["adopt"] = Effect.fn("Qemu.adopt")(function* (config, paths, pid) {
  const pidStartTime = yield* ProcStat.startTime(pid)
  const process = { pid, pidStartTime: pidStartTime ?? "", ramFd: RAM_FD, config }
  const qemu = stranger(config.id, process, paths.logPath)
  if (!(yield* ProcStat.isRunning(process))) return yield* exited(qemu, { _tag: "unknown" })
  return { process, connection: connection(qemu, yield* connectTo(qemu, paths.qmpPath, START_DEADLINE)) }
})

/**
 * QEMU, 7.2 and later.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Vmm> = Layer.succeed(Vmm, {
  launch,
  incomingCommand,
  adopt,
  connect,
  isRunning: ProcStat.isRunning
})
