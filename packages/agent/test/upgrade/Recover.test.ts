import * as Fs from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Kexec } from "@liveupdate/sdk/Kexec"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Event from "../../src/upgrade/Event.ts"
import * as HostFacts from "../../src/upgrade/HostFacts.ts"
import * as Journal from "../../src/upgrade/Journal.ts"
import * as Recover from "../../src/upgrade/Recover.ts"
import * as RunLog from "../../src/upgrade/RunLog.ts"
import { makeRecord } from "../../src/vmm/Vm.ts"
import { type VmConnection, Vmm, type VmStatus } from "../../src/vmm/Vmm.ts"
import { QmpTimeout, VmmExited } from "../../src/vmm/VmmError.ts"
import * as VmStore from "../../src/vmm/VmStore.ts"
import * as Temporary from "../Temporary.ts"
import { vmConfig } from "./vmConfig.ts"

/** A host with two VMs, in the states given, and what was done to it. */
const make = (states: Record<string, VmStatus["state"] | "gone" | "hangs">, kernelLoaded = true) =>
  Effect.gen(function* () {
    const directory = yield* Temporary.directory
    const did: Array<string> = []
    const journal = join(directory, "journal")
    const store = VmStore.layerAt({ state: join(directory, "state"), runtime: join(directory, "run") })
    yield* Effect.forEach(Object.keys(states), (id) =>
      Effect.gen(function* () {
        const { prepare, put } = yield* VmStore.VmStore
        const paths = yield* prepare(id)
        yield* put(makeRecord(paths, { pid: 1, pidStartTime: "1", ramFd: 3, config: vmConfig(id) }, 0))
      })
    ).pipe(Effect.provide(store))
    const connect = (id: string): VmConnection => ({
      pid: 1,
      ramFd: 3,
      status: Effect.sync(() => ({ state: states[id] as VmStatus["state"], detail: "test" })),
      saveBlockers: Effect.succeed([]),
      pause: Effect.void,
      resume: Effect.sync(() => {
        did.push(`resume ${id}`)
        states[id] = "running"
      }),
      activity: Effect.succeed(0),
      saveState: () => Effect.dieMessage("no"),
      loadState: () => Effect.dieMessage("no"),
      quit: Effect.void,
      powerdown: Effect.void,
      exited: Effect.void
    })
    const vmm = Layer.succeed(Vmm, {
      launch: () => Effect.dieMessage("no"),
      incomingCommand: () => [],
      adopt: () => Effect.dieMessage("no"),
      connect: ({ id }) => {
        if (states[id] === "gone")
          return Effect.fail(new VmmExited({ vm: id, pid: 1, exit: { _tag: "unknown" }, logPath: "", logTail: [] }))
        if (states[id] === "hangs")
          return Effect.fail(new QmpTimeout({ path: "", operation: "greeting", deadlineMs: 1 }))
        return Effect.succeed(connect(id))
      },
      isRunning: () => Effect.succeed(true)
    })
    const kexec = Layer.succeed(Kexec, {
      load: () => Effect.void,
      isLoaded: Effect.succeed(kernelLoaded),
      unload: Effect.sync(() => void did.push("unload")),
      jump: Effect.dieMessage("no")
    })
    const events: Array<Event.Event> = []
    const options = {
      journal,
      directory: join(directory, "runs"),
      listener: (event: Event.Event) => void events.push(event)
    }
    return {
      did,
      events,
      journal,
      recover: (vms?: ReadonlyArray<string>) =>
        Recover.recover({ ...options, ...(vms === undefined ? {} : { vms }) }).pipe(
          Effect.provide(Layer.mergeAll(store, vmm, kexec))
        )
    }
  })

/** The journal of a run that came so far. */
const write = (file: string, boot: string, intents: ReadonlyArray<Omit<Journal.Note, "kind">>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const journal = yield* Journal.begin({ run: "r", boot, vms: ["a", "b"], kernel: "/k", hooks: {} }, file)
      yield* Effect.forEach(intents, (intent) => journal.note({ kind: "intent", ...intent }))
    })
  )

const paused = [
  { phase: "load-kernel" },
  { phase: "preserve-running", vm: "a" },
  { phase: "preserve-running", vm: "b" },
  { phase: "pause", vm: "a" },
  { phase: "pause", vm: "b" },
  { phase: "save-state", vm: "a" }
]

/** A run whose agent has closed the journal, with what its log says by then. */
const ended = (file: string, began: string, said: ReadonlyArray<{ readonly boot: string; readonly type: string }>) =>
  Effect.gen(function* () {
    yield* write(file, began, paused)
    yield* Effect.scoped(Effect.flatMap(Journal.reopen(file), (journal) => journal.end("jumped")))
    const log = RunLog.fileOf("r", join(dirname(file), "runs"))
    const about = { version: 1, run: "r", monotonic: 1, step: "pause", status: "done", result: "upgraded", message: "" }
    yield* Effect.sync(() => {
      Fs.mkdirSync(dirname(log), { recursive: true })
      Fs.writeFileSync(log, said.map((event) => `${JSON.stringify({ ...about, ...event })}\n`).join(""))
    })
  })

describe("Recover", () => {
  it.scoped("a run that went through and could not say so: it is said, once", () =>
    Effect.gen(function* () {
      const { did, events, journal, recover } = yield* make({ a: "running" })
      const boot = yield* HostFacts.bootId
      yield* ended(journal, "an earlier boot", [
        { boot: "an earlier boot", type: "step" },
        { boot, type: "step" }
      ])
      assert.deepStrictEqual(yield* recover(), { _tag: "nothing" })
      yield* recover()
      assert.deepStrictEqual(did, [])
      assert.deepStrictEqual(
        events.map((event) => event.type === "outcome" && event.result),
        ["upgraded"]
      )
    })
  )

  it.scoped("nobody says that a run went through that was not seen under this kernel, or has an outcome", () =>
    Effect.gen(function* () {
      const { events, journal, recover } = yield* make({ a: "running" })
      const boot = yield* HostFacts.bootId
      yield* ended(journal, "an earlier boot", [{ boot: "an earlier boot", type: "step" }])
      yield* recover()
      yield* ended(journal, boot, [{ boot, type: "step" }])
      yield* recover()
      yield* ended(journal, "an earlier boot", [{ boot, type: "outcome" }])
      yield* recover()
      assert.deepStrictEqual(events, [])
    })
  )

  it.scoped("nothing was begun: nothing is done", () =>
    Effect.gen(function* () {
      const { did, recover } = yield* make({ a: "paused" })
      assert.deepStrictEqual(yield* recover(), { _tag: "nothing" })
      assert.deepStrictEqual(did, [])
    })
  )

  it.scoped(
    "guests that stand still run again, then the kernel is unloaded; the second time there is nothing to do",
    () =>
      Effect.gen(function* () {
        const { did, events, journal, recover } = yield* make({ a: "saved", b: "paused" })
        yield* write(journal, yield* HostFacts.bootId, paused)
        assert.deepStrictEqual(yield* recover(), { _tag: "recovered", run: "r", vms: ["a", "b"] })
        assert.sameMembers(did.slice(0, 2), ["resume a", "resume b"])
        assert.deepStrictEqual(did.slice(2), ["unload"])
        assert.deepInclude(events.at(-1), { type: "outcome", result: "rolled-back" })
        assert.deepStrictEqual(yield* recover(), { _tag: "nothing" })
      })
  )

  it.scoped("what was intended and never happened isn't undone", () =>
    Effect.gen(function* () {
      const { did, journal, recover } = yield* make({ a: "running", b: "running" }, false)
      yield* write(journal, yield* HostFacts.bootId, paused)
      yield* recover()
      assert.deepStrictEqual(did, [])
    })
  )

  it.scoped("a VMM that hangs doesn't keep the other guest, and is tried again the next time", () =>
    Effect.gen(function* () {
      const states: Record<string, VmStatus["state"] | "hangs"> = { a: "hangs", b: "paused" }
      const { did, journal, recover } = yield* make(states)
      yield* write(journal, yield* HostFacts.bootId, paused)
      const error = yield* Effect.flip(recover())
      assert.strictEqual(error._tag, "NotGivenBack")
      assert.match(error.message, /^These VMs don't run again: a \(/)
      assert.include(did, "resume b")
      states["a"] = "saved"
      assert.strictEqual((yield* recover())._tag, "recovered")
      assert.include(did, "resume a")
      assert.strictEqual((yield* recover())._tag, "nothing")
    })
  )

  it.scoped("of a VMM that has ended there is nothing to give back", () =>
    Effect.gen(function* () {
      const { did, journal, recover } = yield* make({ a: "gone", b: "paused" })
      yield* write(journal, yield* HostFacts.bootId, paused)
      assert.strictEqual((yield* recover())._tag, "recovered")
      assert.include(did, "resume b")
    })
  )

  it.scoped("of another boot: the guests have ended with the host, and it is said once", () =>
    Effect.gen(function* () {
      const { did, events, journal, recover } = yield* make({ a: "paused", b: "paused" })
      yield* write(journal, "another boot", [...paused, { phase: "jump" }])
      assert.deepStrictEqual(yield* recover(), { _tag: "cold-boot", run: "r", vms: ["a", "b"] })
      assert.deepStrictEqual(did, [])
      assert.match(events.map((event) => (event.type === "outcome" ? event.message : "")).join(), /at the jump/)
      assert.deepStrictEqual(yield* recover(), { _tag: "nothing" })
    })
  )

  it.scoped("a damaged journal is kept and not obeyed; who stands still is told, and runs when it is asked for", () =>
    Effect.gen(function* () {
      const { did, journal, recover } = yield* make({ a: "saved", b: "running" })
      yield* write(journal, yield* HostFacts.bootId, paused)
      const bytes = Fs.readFileSync(journal)
      bytes[bytes.indexOf(0) - 4] = 0x21
      Fs.writeFileSync(journal, bytes)
      const error = yield* Effect.flip(recover())
      assert.strictEqual(error._tag, "JournalCorrupt")
      assert.include(error.message, "agent resume --vm a")
      assert.isTrue(Fs.existsSync(`${journal}.corrupt-1`))
      assert.deepStrictEqual(did, [])
      assert.deepStrictEqual(yield* recover(["a", "b"]), { _tag: "recovered", run: "unknown", vms: ["a"] })
      assert.deepStrictEqual(did, ["resume a"])
    })
  )

  it.scoped("one of another boot speaks of nothing that is there any more", () =>
    Effect.gen(function* () {
      const { journal, recover } = yield* make({ a: "paused" })
      yield* write(journal, "another boot", paused)
      const bytes = Fs.readFileSync(journal)
      bytes[bytes.indexOf(0) - 4] = 0x21
      Fs.writeFileSync(journal, bytes)
      assert.deepStrictEqual(yield* recover(), { _tag: "nothing" })
      assert.isTrue(Fs.existsSync(`${journal}.corrupt-1`))
    })
  )
})
