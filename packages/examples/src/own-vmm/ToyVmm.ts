/**
 * A driver behind the agent's `Vmm` tag, for the VMM in `vmm.ts`. Everything that the agent does with a VM goes through these five members
 * and the connection that three of them give: put what your VMM speaks in place of `ask`.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"
import { text } from "node:stream/consumers"
import * as DetachedProcess from "@liveupdate/agent/vmm/DetachedProcess"
import * as ListeningSocket from "@liveupdate/agent/vmm/ListeningSocket"
import * as ProcStat from "@liveupdate/agent/vmm/ProcStat"
import { RAM_FD, type VmConfig, type VmPaths, type VmProcess } from "@liveupdate/agent/vmm/Vm"
import { type VmConnection, Vmm } from "@liveupdate/agent/vmm/Vmm"
import * as VmmError from "@liveupdate/agent/vmm/VmmError"
import { Effect, Layer, Schema } from "effect"

/** One question over a connection of its own. The errors have QMP in their names, and serve any monitor. */
const ask = (path: string, question: string): Effect.Effect<string, VmmError.VmmError> =>
  Effect.tryPromise({
    try: () => text(Net.connect(path).end(question)),
    catch: (error) => new VmmError.QmpConnectFailed({ path, code: String(error) })
  }).pipe(
    Effect.timeoutFail({
      duration: "10 seconds",
      onTimeout: () => new VmmError.QmpTimeout({ path, operation: question, deadlineMs: 10_000 })
    })
  )

const isState = Schema.is(Schema.Literal("running", "paused", "saved", "incoming"))

const connectionTo = (process: VmProcess, path: string): VmConnection => {
  const tell = (command: string) => Effect.asVoid(ask(path, command))
  const exited = Effect.repeat(Effect.delay(ProcStat.isRunning(process), "5 millis"), { while: (runs) => runs })
  const failed = (direction: "save" | "load") => (error: unknown) =>
    new VmmError.VmmTransferFailed({ vm: process.config.id, direction, reason: String(error) })
  return {
    pid: process.pid,
    ramFd: RAM_FD,
    status: Effect.map(ask(path, "status"), (detail) => ({ state: isState(detail) ? detail : "down", detail })),
    saveBlockers: Effect.succeed([]),
    pause: tell("pause"),
    resume: tell("resume"),
    activity: Effect.map(ask(path, "activity"), Number),
    // This VMM's state is one number, and goes through its answer. QEMU would be given the descriptor.
    saveState: (fd) =>
      Effect.tryMap(ask(path, "save"), {
        try: (state) => ({ bytes: Fs.writeSync(fd, state, 0), totalMs: 0 }),
        catch: failed("save")
      }),
    loadState: (fd) =>
      Effect.try({ try: () => Fs.readFileSync(`/proc/self/fd/${fd}`, "utf8"), catch: failed("load") }).pipe(
        Effect.flatMap((state) => Effect.as(ask(path, `load ${state}`), { bytes: state.length, totalMs: 0 }))
      ),
    quit: Effect.zipRight(DetachedProcess.kill(process.pid), Effect.asVoid(exited)),
    powerdown: Effect.ignore(tell("quit")),
    exited: Effect.asVoid(exited)
  }
}

const commandOf = (config: VmConfig, incoming: boolean) => [...config.args, ...(incoming ? ["--incoming"] : [])]

const launch: Vmm["Type"]["launch"] = (config, { logPath, qmpPath }, { ramFd, incoming }) => {
  const log = Effect.acquireRelease(
    Effect.try(() => Fs.openSync(logPath, "a", 0o600)),
    (fd) => Effect.sync(() => Fs.closeSync(fd))
  )
  const start = Effect.flatMap(Effect.all([log, ListeningSocket.make(qmpPath)]), ([log, socket]) =>
    DetachedProcess.spawn(config.binary, commandOf(config, incoming), [log, log, ramFd, socket.fd])
  ).pipe(
    Effect.scoped,
    Effect.mapError(
      ({ message: reason }) =>
        new VmmError.VmmStartFailed({ vm: config.id, operation: "start", path: config.binary, reason })
    )
  )
  // Until this returns nobody else knows of the process.
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(start, ({ kill, pid, pidStartTime }) => {
      const process = { pid, pidStartTime, ramFd: RAM_FD, config }
      const connection = connectionTo(process, qmpPath)
      return restore(connection.status).pipe(
        Effect.as({ process, connection }),
        Effect.onError(() => kill)
      )
    })
  )
}

/** A line to a VMM that is there already. */
const join = (process: VmProcess, { logPath, qmpPath }: Pick<VmPaths, "logPath" | "qmpPath">) =>
  Effect.flatMap(ProcStat.isRunning(process), (runs) =>
    runs
      ? Effect.succeed(connectionTo(process, qmpPath))
      : new VmmError.VmmExited({
          vm: process.config.id,
          pid: process.pid,
          exit: { _tag: "unknown" },
          logPath,
          logTail: []
        })
  )

export const layer: Layer.Layer<Vmm> = Layer.succeed(Vmm, {
  launch,
  incomingCommand: (config) => [config.binary, ...commandOf(config, true)],
  adopt: (config, paths, pid) =>
    Effect.gen(function* () {
      const process = { pid, pidStartTime: (yield* ProcStat.startTime(pid)) ?? "", ramFd: RAM_FD, config }
      return { process, connection: yield* join(process, paths) }
    }),
  connect: (record) => join(record, record),
  isRunning: ProcStat.isRunning
})
