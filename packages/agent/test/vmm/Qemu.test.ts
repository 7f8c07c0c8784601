/**
 * The driver against a real QEMU. The guest needs no operating system (`TickingGuest`), the host no KVM.
 */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as DetachedProcess from "../../src/vmm/DetachedProcess.ts"
import * as ProcStat from "../../src/vmm/ProcStat.ts"
import * as Qemu from "../../src/vmm/Qemu.ts"
import * as Qmp from "../../src/vmm/Qmp.ts"
import * as StartedVmm from "../../src/vmm/StartedVmm.ts"
import { makeRecord, type VmConfig, type VmPaths } from "../../src/vmm/Vm.ts"
import { Vmm } from "../../src/vmm/Vmm.ts"
import * as VmStore from "../../src/vmm/VmStore.ts"
import * as Temporary from "../Temporary.ts"
import * as TickingGuest from "./TickingGuest.ts"

interface Host {
  readonly directory: string
  readonly config: VmConfig
  readonly paths: VmPaths
  readonly ram: number
}

/** Memory without a name, as a memfd is, which anybody may use who gets hold of it (`__shmem_file_setup` in `mm/shmem.c`). */
const memory = (bytes: number): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const directory = fs.mkdtempSync("/dev/shm/liveupdate-")
      const fd = fs.openSync(join(directory, "memory"), "wx+")
      fs.fchmodSync(fd, 0o777)
      fs.rmSync(directory, { recursive: true })
      fs.ftruncateSync(fd, bytes)
      return fd
    }),
    (fd) => Effect.sync(() => fs.closeSync(fd))
  )

const host = Effect.gen(function* () {
  const directory = yield* Temporary.directory
  const store = VmStore.layerAt({ state: join(directory, "state"), runtime: join(directory, "run") })
  const paths = yield* Effect.provide(
    Effect.flatMap(VmStore.VmStore, ({ prepare }) => prepare("guest")),
    store
  )
  const config = TickingGuest.make(directory, "guest")
  return { directory, config, paths, ram: yield* memory(config.memoryBytes) } satisfies Host
})

/** A VM that is pulled the plug at the end of the test, whatever happened. */
const started = Effect.fn(function* ({ config, paths, ram }: Host, incoming = false) {
  const vmm = yield* Vmm
  const vm = yield* vmm.launch(config, paths, { ramFd: ram, incoming })
  yield* Effect.addFinalizer(() => Effect.ignore(vm.connection.quit))
  return vm
})

/** Those of this process that run, by name. */
const childrenNamed = (name: string): ReadonlyArray<number> =>
  fs
    .readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      try {
        const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
        return (
          stat.includes(`(${name}) `) &&
          !/\) Z/.test(stat) &&
          Number(stat.split(") ")[1]?.split(" ")[1]) === process.pid
        )
      } catch {
        return false
      }
    })

const run = <A, E>(body: Effect.Effect<A, E, Vmm | Scope.Scope>) => Effect.provide(body, Qemu.layer)

describe("Qemu", { timeout: 20_000 }, () => {
  it.scopedLive("a saved VM goes on in the same process, and in another one", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        const { consolePath } = machine.paths
        const first = yield* started(machine)
        assert.match(first.process.config.machine, /^pc-q35-\d+\.\d+$/)
        assert.strictEqual(first.connection.ramFd, 3)
        assert.deepStrictEqual(yield* first.connection.saveBlockers, [])
        yield* TickingGuest.ticks(consolePath, 3)
        assert.strictEqual((yield* first.connection.status).state, "running")

        yield* first.connection.pause
        assert.strictEqual((yield* first.connection.status).state, "paused")
        const state = yield* memory(0)
        const saved = yield* first.connection.saveState(state)
        assert.isAbove(saved.bytes, 10_000)
        assert.isBelow(saved.bytes, TickingGuest.MEMORY_BYTES / 4)
        assert.strictEqual((yield* first.connection.status).state, "saved")

        yield* first.connection.resume
        yield* TickingGuest.ticks(consolePath, 3)
        yield* first.connection.pause
        yield* first.connection.saveState(state)
        yield* first.connection.quit
        assert.isFalse(yield* ProcStat.isRunning(first.process))

        const again = { ...machine, config: first.process.config }
        const second = yield* started(again, true)
        assert.strictEqual((yield* second.connection.status).state, "incoming")
        const loaded = yield* second.connection.loadState(state)
        assert.isAbove(loaded.bytes, 10_000)
        assert.strictEqual((yield* second.connection.status).state, "paused")
        yield* second.connection.resume
        yield* TickingGuest.ticks(consolePath, 3)
        assert.isTrue(TickingGuest.isUnbroken(TickingGuest.digits(consolePath)), TickingGuest.digits(consolePath))
      })
    )
  )

  it.scopedLive("a VMM that somebody else has started is found by its command, and taken over", () =>
    run(
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const machine = yield* host
        const { config, paths } = machine
        const command = vmm.incomingCommand(config, paths)
        const { process: first } = yield* Effect.scoped(
          vmm.launch(config, paths, { ramFd: machine.ram, incoming: true })
        )
        yield* Effect.addFinalizer(() => DetachedProcess.kill(first.pid))
        assert.isUndefined(yield* StartedVmm.find(paths, command))
        yield* StartedVmm.note(paths, { pid: first.pid, at: 1234.5 })
        assert.deepStrictEqual(yield* StartedVmm.find(paths, command), { pid: first.pid, at: 1234.5 })
        // Another configuration, or another process with that pid.
        assert.isUndefined(yield* StartedVmm.find(paths, [...command, "-S"]))
        yield* StartedVmm.note(paths, { pid: process.pid, at: 0 })
        assert.isUndefined(yield* StartedVmm.find(paths, command))

        const adopted = yield* vmm.adopt(config, paths, first.pid)
        assert.deepStrictEqual(adopted.process, first)
        assert.strictEqual((yield* adopted.connection.status).state, "incoming")
        yield* adopted.connection.quit
        assert.isFalse(yield* ProcStat.isRunning(first))
        yield* StartedVmm.note(paths, { pid: first.pid, at: 0 })
        assert.isUndefined(yield* StartedVmm.find(paths, command))
        assert.strictEqual((yield* Effect.flip(vmm.adopt(config, paths, first.pid)))._tag, "VmmExited")
      })
    )
  )

  it.scopedLive("one that has given up being root is saved and loaded as well, and nobody of its user is left", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        const { consolePath } = machine.paths
        const unprivileged = { ...machine, config: { ...machine.config, args: ["-runas", "nobody"] } }
        const { connection, process: first } = yield* started(unprivileged)
        assert.match(fs.readFileSync(`/proc/${connection.pid}/status`, "latin1"), /^Uid:\s65534\s65534/m)
        assert.deepStrictEqual(yield* connection.saveBlockers, [])
        yield* TickingGuest.ticks(consolePath, 3)
        const state = yield* memory(0)
        yield* connection.pause
        yield* connection.saveState(state)
        yield* connection.resume
        yield* TickingGuest.ticks(consolePath, 3)
        yield* connection.pause
        assert.isAbove((yield* connection.saveState(state)).bytes, 10_000)
        yield* connection.quit

        const second = yield* started({ ...unprivileged, config: first.config }, true)
        yield* second.connection.loadState(state)
        yield* second.connection.resume
        yield* TickingGuest.ticks(consolePath, 3)
        assert.isTrue(TickingGuest.isUnbroken(TickingGuest.digits(consolePath)), TickingGuest.digits(consolePath))
        assert.deepStrictEqual(childrenNamed("cat"), [])
      })
    )
  )

  it.scopedLive("one that doesn't see the agent's files says so before it is paused", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        const config = { ...machine.config, args: ["-chroot", machine.directory] }
        const { connection } = yield* started({ ...machine, config })
        const [blocker, ...more] = yield* connection.saveBlockers
        assert.isEmpty(more)
        assert.match(
          blocker ?? "",
          /^it doesn't see the agent's \/proc, .* root directory or PID namespace of its own$/
        )
      })
    )
  )

  it.scopedLive("a VM outlives the connection; a record leads back to it, until it is gone", () =>
    run(
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const machine = yield* host
        const record = yield* Effect.scoped(
          Effect.map(vmm.launch(machine.config, machine.paths, { ramFd: machine.ram, incoming: false }), (vm) =>
            makeRecord(machine.paths, vm.process, 0)
          )
        )
        assert.isTrue(yield* vmm.isRunning(record))
        for (const _ of [1, 2]) {
          const { state } = yield* Effect.scoped(Effect.flatMap(vmm.connect(record), ({ status }) => status))
          assert.strictEqual(state, "running")
        }
        yield* Effect.scoped(Effect.flatMap(vmm.connect(record), ({ quit }) => quit))
        assert.isFalse(yield* vmm.isRunning(record))
        const error = yield* Effect.flip(Effect.scoped(vmm.connect(record)))
        assert.strictEqual(error._tag, "VmmExited")
        // The same pid with another start time is somebody else.
        const stranger = { ...record, pid: process.pid }
        assert.strictEqual((yield* Effect.flip(Effect.scoped(vmm.connect(stranger))))._tag, "VmmExited")
      })
    )
  )

  it.scopedLive("the monitor serves one client at a time: the second one is told", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        yield* started(machine)
        const error = yield* Effect.flip(Qmp.connect(machine.paths.qmpPath, "200 millis"))
        assert.strictEqual(error._tag, "QmpTimeout")
        assert.include(error.message, "another client")
      })
    )
  )

  it.scopedLive("a running VM is not saved; a save that fails leaves a VM that can be resumed", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        const { connection } = yield* started(machine)
        const state = yield* memory(0)
        assert.strictEqual((yield* Effect.flip(connection.saveState(state)))._tag, "VmmStateUnexpected")
        yield* connection.pause
        const error = yield* Effect.flip(connection.saveState(987_654))
        assert.include(["VmmTransferFailed", "QmpCommandFailed"], error._tag)
        yield* connection.resume
        yield* TickingGuest.ticks(machine.paths.consolePath, 2)
      })
    )
  )

  it.scopedLive("a VMM that dies is told with how and its last words", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        const refused = yield* Effect.flip(
          Effect.scoped(started({ ...machine, config: { ...machine.config, args: ["-device", "no-such-device"] } }))
        )
        assert(refused._tag === "VmmExited", refused._tag)
        assert.deepStrictEqual(refused.exit, { _tag: "code", code: 1 })
        assert.include(refused.message, "no-such-device")

        const { connection } = yield* started(machine)
        process.kill(connection.pid, "SIGKILL")
        const killed = yield* Effect.flip(Effect.zipRight(connection.exited, connection.status))
        assert(killed._tag === "VmmExited", killed._tag)
        assert.deepStrictEqual(killed.exit, { _tag: "signal", signal: "SIGKILL" })
        assert.deepStrictEqual(killed.logTail, [])
      })
    )
  )

  it.scopedLive("state that is none is refused", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        const { connection } = yield* started(machine, true)
        const error = yield* Effect.flip(connection.loadState(yield* memory(4096)))
        // QEMU before 9.1 exits, later ones say so and stay.
        assert.include(["VmmExited", "VmmTransferFailed"], error._tag)
        assert.include(error.message, "migration")
      })
    )
  )

  it.scopedLive("a launch that can't be is typed", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        const missing = yield* Effect.flip(started({ ...machine, config: { ...machine.config, binary: "/no/qemu" } }))
        assert(missing._tag === "VmmStartFailed", missing._tag)
        assert.include(missing.message, "ENOENT")
        const small = yield* Effect.flip(started({ ...machine, ram: yield* memory(4096) }))
        assert.strictEqual(small._tag, "VmmStartFailed")
      })
    )
  )

  it.scopedLive("a launch that is interrupted leaves no process", () =>
    run(
      Effect.gen(function* () {
        const machine = yield* host
        // A binary that never speaks: its pid is its own log.
        const silent = join(machine.directory, "silent")
        fs.writeFileSync(silent, "#!/bin/sh\necho $$\nexec sleep 1000\n", { mode: 0o700 })
        const vmm = yield* Vmm
        const fiber = yield* Effect.fork(
          Effect.scoped(
            vmm.launch({ ...machine.config, binary: silent }, machine.paths, { ramFd: machine.ram, incoming: false })
          )
        )
        const words = yield* TickingGuest.ticks(machine.paths.logPath, 2)
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isInterrupted(exit))
        assert.isFalse(fs.existsSync(`/proc/${words.trim()}`))
      })
    )
  )
})
