/**
 * Goes through a resume with a kernel and a VMM that only nod. While the start-up snapshot is built, so that functions that
 * have run are in it as bytecode: those that haven't would be parsed and compiled while guests stand still. And from the
 * finished snapshot, to see before the jump that it starts.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Custody from "@liveupdate/sdk/Custody"
import * as Kexec from "@liveupdate/sdk/Kexec"
import { LiveUpdate } from "@liveupdate/sdk/LiveUpdate"
import * as Manifest from "@liveupdate/sdk/Manifest"
import type { IncomingSession } from "@liveupdate/sdk/Session"
import * as Token from "@liveupdate/sdk/Token"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Handover from "../upgrade/Handover.ts"
import * as StartedVmm from "../vmm/StartedVmm.ts"
import type { VmConfig } from "../vmm/Vm.ts"
import { type VmConnection, Vmm } from "../vmm/Vmm.ts"
import * as VmStore from "../vmm/VmStore.ts"
import * as Layers from "./Layers.ts"
import { program } from "./ResumeMain.ts"

const config: VmConfig = {
  id: "rehearsal",
  memoryBytes: 16777216,
  cpus: 1,
  machine: "q35",
  accelerator: "kvm",
  cpu: "host",
  disks: [{ path: "/dev/null", format: "raw", readonly: true, cache: "none" }],
  binary: "/bin/false",
  args: []
}

const written = { kernel: "rehearsal", createdAt: 0 }

const file = (token: Token.Token, name: string): Manifest.File => ({
  token,
  kind: "memfd",
  name,
  size: 0,
  dependsOn: []
})

const manifests = (run: string) => ({
  [Handover.indexSession]: Manifest.encode(Handover.Index, {
    ...written,
    files: [],
    data: { version: 1, run, boot: "rehearsal", vms: [{ id: config.id, session: Handover.vmSession(config.id) }] }
  }),
  [Handover.vmSession(config.id)]: Manifest.encode(Handover.Vm, {
    ...written,
    files: [file(Handover.tokens.ram, "ram"), file(Handover.tokens.state, "state")],
    data: { version: 1, run, config, createdAt: 0 }
  })
})

/** Sessions whose manifests are ordinary files: the code that reads them is the one that counts. */
const kernel = (directory: string) =>
  Layer.sync(LiveUpdate, () => {
    const contents = new Map(Object.entries(manifests("rehearsal")))
    const session = (name: string): IncomingSession => ({
      direction: "incoming",
      name,
      askName: Effect.succeed(name),
      finish: Effect.succeed({ session: name, own: () => Effect.dieMessage("a rehearsal owns nothing") }),
      retrieve: (kind, token) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const file = Path.join(directory, `${name}-${token}`)
            const content = token === Token.manifest ? contents.get(name) : undefined
            Fs.writeFileSync(file, content === undefined ? "" : Either.getOrThrow(content))
            return kind.manage({ fd: Fs.openSync(file, "r"), session: name, token })
          }),
          (handle) => Effect.sync(() => Fs.closeSync(handle.fd))
        )
    })
    return {
      probe: Effect.void,
      create: () => Effect.dieMessage("a rehearsal creates no session"),
      retrieve: (name) => Effect.acquireRelease(Effect.succeed(session(name)), () => Effect.void)
    }
  })

/** A guest that waits for its state, and is alive once it was resumed. */
let moments = 0
let state: "incoming" | "running" = "incoming"

const connection: VmConnection = {
  pid: 0,
  ramFd: 3,
  status: Effect.sync(() => ({ state, detail: "rehearsal" })),
  saveBlockers: Effect.succeed([]),
  pause: Effect.void,
  resume: Effect.sync(() => {
    state = "running"
  }),
  activity: Effect.sync(() => ++moments),
  saveState: () => Effect.succeed({ bytes: 0, totalMs: 0 }),
  loadState: () => Effect.succeed({ bytes: 0, totalMs: 0 }),
  quit: Effect.void,
  powerdown: Effect.void,
  exited: Effect.void
}

const custody = Layer.succeed(Custody.Custody, {
  prepare: () => Effect.dieMessage("a rehearsal retrieves from no kernel"),
  confirm: () => Effect.void,
  claim: () => Effect.succeed(undefined),
  release: () => Effect.void,
  list: Effect.succeed([])
})

/** A VMM that was started early is found by its command line: this process plays it, too. */
const ourCommand = () => Fs.readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1)

const launched = (config: VmConfig) =>
  Effect.succeed({ process: { pid: 0, pidStartTime: "0", ramFd: 3, config }, connection })

const vmm = Layer.succeed(Vmm, {
  launch: launched,
  incomingCommand: ourCommand,
  adopt: launched,
  connect: () => Effect.succeed(connection),
  isRunning: () => Effect.succeed(true)
})

const noteStarted = Effect.flatMap(
  Effect.flatMap(VmStore.VmStore, (store) => store.prepare(config.id)),
  (paths) => StartedVmm.note(paths, { pid: process.pid, at: 0 })
)

/**
 * @since 0.1.0
 * @category running
 */
export const rehearse = (): void => {
  state = "incoming"
  const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveupdate-rehearsal-"))
  Effect.runFork(
    // The layers of the real thing are built, too; nothing is asked of them.
    Layer.build(Layers.host).pipe(
      Effect.zipRight(noteStarted),
      Effect.zipRight(
        program(() => undefined, { directory, journal: Path.join(directory, "journal"), lock: Effect.void })
      ),
      Effect.scoped,
      Effect.provide(
        Layer.mergeAll(
          kernel(directory),
          custody,
          vmm,
          Kexec.layer,
          VmStore.layerAt({ state: directory, runtime: directory })
        )
      ),
      Effect.ensuring(Effect.sync(() => Fs.rmSync(directory, { recursive: true, force: true }))),
      Effect.catchAllCause((cause) =>
        Effect.sync(() => {
          process.stderr.write(`the rehearsal failed: ${Cause.pretty(cause)}\n`)
          process.exitCode = 1
        })
      )
    )
  )
}
