/**
 * `agent vm start|list|stop|console`
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effective from "../config/Effective.ts"
import { PreconditionFailed } from "../upgrade/UpgradeError.ts"
import * as Lifecycle from "../vmm/Lifecycle.ts"
import * as Slice from "../vmm/Slice.ts"
import * as VmSpec from "../vmm/VmSpec.ts"
import { VmStore } from "../vmm/VmStore.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"

const requireRoot = Effect.suspend(() =>
  process.getuid?.() === 0
    ? Effect.void
    : Effect.fail(
        new PreconditionFailed({ what: "VMs and their sockets belong to root alone", next: "Run the agent as root" })
      )
)

const id = Args.text({ name: "id" }).pipe(Args.withDescription("the VM"))

const start = Command.make(
  "start",
  {
    spec: Args.text({ name: "spec" }).pipe(Args.withDescription("its file")),
    config: Shared.config,
    output: Shared.output,
    host: Shared.host
  },
  ({ spec, config: file, output, host }) =>
    Shared.whereTold(
      host,
      (name) =>
        Effect.flatMap(Shared.hosts, (_) =>
          _.startVm(name, spec, [...Shared.forwarded("--config", file), "--output", output])
        ),
      Effect.gen(function* () {
        yield* requireRoot
        const { configuration } = yield* Effective.load(file)
        const config = yield* VmSpec.load(spec, configuration.vm)
        const record = yield* Lifecycle.start(config)
        yield* Slice.place(record)
        yield* Output.result(
          output,
          `VM ${record.id} runs (pid ${record.pid}, ${Output.mebibytes(record.config.memoryBytes)}, ${record.config.accelerator}). Its console: agent vm console ${record.id}`,
          { type: "vm", id: record.id, state: "running", pid: record.pid, consolePath: record.consolePath }
        )
      })
    )
).pipe(Command.withDescription("Start a VM from a JSON or TOML spec"))

const list = Command.make("list", { output: Shared.output, host: Shared.host }, ({ output, host }) =>
  Shared.whereTold(
    host,
    Shared.there(["vm", "list", "--output", output]),
    Effect.gen(function* () {
      yield* requireRoot
      const vms = yield* Lifecycle.list
      if (output === "human" && vms.length === 0) return yield* Output.result(output, "No VMs.", {})
      yield* Effect.forEach(vms, ({ record, state }) =>
        Output.result(
          output,
          `${record.id}\t${state}\tpid ${record.pid}\t${Output.mebibytes(record.config.memoryBytes)}\t${record.config.accelerator}`,
          {
            type: "vm",
            id: record.id,
            state,
            pid: record.pid,
            consolePath: record.consolePath,
            config: record.config
          }
        )
      )
    })
  )
).pipe(Command.withDescription("List the VMs of this host"))

const stop = Command.make(
  "stop",
  {
    id,
    config: Shared.config,
    output: Shared.output,
    host: Shared.host,
    timeout: Options.integer("timeout").pipe(
      Options.optional,
      Shared.withSetting("vm.stop-timeout", "seconds that the guest may take to shut down before its VMM is ended")
    )
  },
  ({ id, config, output, host, timeout }) =>
    Shared.whereTold(
      host,
      Shared.there([
        ...["vm", "stop", ...Shared.forwarded("--timeout", timeout), ...Shared.forwarded("--config", config)],
        ...["--output", output, id]
      ]),
      Effect.gen(function* () {
        yield* requireRoot
        const { configuration } = yield* Effective.load(config, Shared.said("vm.stop-timeout", "--timeout", timeout))
        const patience = configuration.vm["stop-timeout"]
        const how = yield* Lifecycle.stop(id, Duration.seconds(patience))
        const text = {
          "already-stopped": `VM ${id} was stopped already.`,
          "shut-down": `VM ${id} shut down.`,
          killed: `VM ${id} didn't shut down within ${patience} s and was ended.`
        }[how]
        yield* Output.result(output, text, { type: "vm", id, state: "stopped", how })
      })
    )
).pipe(Command.withDescription("Shut a VM down, and end it when it doesn't"))

const console = Command.make("console", { id, host: Shared.host }, ({ id, host }) =>
  Shared.whereTold(
    host,
    Shared.there(["vm", "console", id]),
    Effect.gen(function* () {
      const store = yield* VmStore
      const record = yield* store.get(id)
      yield* Effect.sync(() => process.stdout.write(Fs.readFileSync(record.consolePath)))
    })
  )
).pipe(Command.withDescription("Print what the guest wrote to its serial console so far"))

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make("vm").pipe(
  Command.withDescription("The virtual machines of a host"),
  Command.withSubcommands([start, list, stop, console])
)
