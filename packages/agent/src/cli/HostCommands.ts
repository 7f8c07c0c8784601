/**
 * `agent host start|exec|stop|list`: QEMU machines that play the physical host.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as QemuHost from "@liveupdate/qemu-host/QemuHost"
import type { PayloadItem } from "@liveupdate/qemu-host/SystemImage"
import * as Effect from "effect/Effect"
import { PreconditionFailed } from "../upgrade/UpgradeError.ts"
import * as Shared from "./Options.ts"
import * as Output from "./Output.ts"
import * as Remote from "./Remote.ts"

const optionalName = Args.text({ name: "name" }).pipe(
  Args.withDefault("default"),
  Args.withDescription("the host's name; `default` without one")
)

/** What `scripts/bundle.mjs` made beside the compiled agent. */
const bundle = fileURLToPath(new URL("../bundle", import.meta.url))

/** The agent as it is installed on a host: everything in /opt/liveupdate, two links into the PATH, one systemd unit. */
const payload: Effect.Effect<ReadonlyArray<PayloadItem>, PreconditionFailed> = Effect.try({
  try: () => [
    ...Fs.readdirSync(bundle)
      .filter((file) => !file.endsWith(".service"))
      .map((file) => ({ from: Fs.realpathSync(Path.join(bundle, file)), to: `/opt/liveupdate/${file}` })),
    { link: "/opt/liveupdate/agent.mjs", to: "/usr/local/bin/agent" },
    { link: "/opt/liveupdate/node", to: "/usr/local/bin/node" },
    {
      from: Path.join(bundle, "liveupdate-resume.service"),
      to: "/etc/systemd/system/liveupdate-resume.service"
    },
    {
      link: "/etc/systemd/system/liveupdate-resume.service",
      to: "/etc/systemd/system/sysinit.target.wants/liveupdate-resume.service"
    }
  ],
  catch: () =>
    new PreconditionFailed({
      what: `The agent's bundle is not built: ${bundle}`,
      next: "Hosts are started from the workspace: run npm run build there"
    })
})

const start = Command.make(
  "start",
  {
    name: optionalName,
    memory: Options.integer("memory").pipe(Options.withDefault(4096), Options.withDescription("MiB of the host's RAM")),
    append: Options.text("append").pipe(Options.withDefault(""), Options.withDescription("further kernel arguments")),
    output: Shared.output
  },
  ({ name, memory, append, output }) =>
    Effect.gen(function* () {
      const hosts = yield* QemuHost.QemuHost
      const host = yield* hosts.start(name, { payload: yield* payload, memoryMiB: memory, append })
      yield* Output.result(
        output,
        `Host ${name} runs (pid ${host.pid}, ${host.accelerator}, ${host.memoryMiB} MiB). Its console: ${host.serialLog}`,
        { type: "host", name, pid: host.pid, accelerator: host.accelerator, serialLog: host.serialLog }
      )
    }).pipe(Effect.provide(Remote.layer))
).pipe(Command.withDescription("Build what is missing, boot a host, and wait until it answers"))

const exec = Command.make(
  "exec",
  {
    name: Options.text("name").pipe(Options.withDefault("default"), Options.withDescription("the host's name")),
    command: Args.text({ name: "command" }).pipe(Args.atLeast(1))
  },
  ({ name, command: [program, ...args] }) => Remote.exec(name, [program, ...args])
).pipe(Command.withDescription("Run a command on a host; put -- before it when it has options"))

const stop = Command.make("stop", { name: optionalName, output: Shared.output }, ({ name, output }) =>
  Effect.gen(function* () {
    const hosts = yield* QemuHost.QemuHost
    yield* hosts.stop(name)
    yield* Output.result(output, `Host ${name} is stopped.`, { type: "host", name, state: "stopped" })
  }).pipe(Effect.provide(Remote.layer))
).pipe(Command.withDescription("End a host and everything in it, as pulling the plug would"))

const list = Command.make("list", { output: Shared.output }, ({ output }) =>
  Effect.gen(function* () {
    const hosts = yield* Effect.flatMap(QemuHost.QemuHost, (_) => _.list)
    if (hosts.length === 0 && output === "human") return yield* Output.result(output, "No hosts.", {})
    yield* Effect.forEach(hosts, (host) =>
      Output.result(output, `${host.name}\tpid ${host.pid}\t${host.accelerator}\t${host.memoryMiB} MiB`, {
        type: "host",
        name: host.name,
        pid: host.pid,
        accelerator: host.accelerator
      })
    )
  }).pipe(Effect.provide(Remote.layer))
).pipe(Command.withDescription("List the hosts that run"))

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make("host").pipe(
  Command.withDescription("QEMU machines that play the physical host"),
  Command.withSubcommands([start, exec, stop, list])
)
