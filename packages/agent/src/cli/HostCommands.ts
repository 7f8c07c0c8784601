/**
 * `agent host start|exec|stop|list`: QEMU machines that play the physical host.
 *
 * @since 0.1.0
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Shared from "./Options.ts"

const optionalName = Args.text({ name: "name" }).pipe(
  Args.withDefault("default"),
  Args.withDescription("the host's name; `default` without one")
)

const start = Command.make(
  "start",
  {
    name: optionalName,
    memory: Options.integer("memory").pipe(Options.withDefault(4096), Options.withDescription("MiB of the host's RAM")),
    append: Options.text("append").pipe(Options.withDefault(""), Options.withDescription("further kernel arguments")),
    kernels: Options.choice("kernels", ["current", "older", "handlers"]).pipe(
      Options.withDefault("current"),
      Options.withDescription(
        "older: boot one of the series before (7.2), to be upgraded from; handlers: with a test fixture that preserves VFIO devices, iommufds and guest_memfds"
      )
    ),
    passthrough: Options.boolean("passthrough").pipe(
      Options.withDescription("with an IOMMU, and PCI devices to be given to guests")
    ),
    bare: Options.boolean("bare").pipe(
      Options.withDescription(
        "without the agent: its Debian package lies in /root, to be installed as docs/install.md says"
      )
    ),
    output: Shared.output
  },
  ({ name, memory, append, kernels, passthrough, bare, output }) =>
    Effect.flatMap(Shared.hosts, (_) =>
      _.start(
        name,
        { memoryMiB: memory, append, passthrough, bare, flavour: kernels === "current" ? undefined : kernels },
        output
      )
    )
).pipe(Command.withDescription("Build what is missing, boot a host, and wait until it answers"))

const exec = Command.make(
  "exec",
  {
    name: Options.text("name").pipe(Options.withDefault("default"), Options.withDescription("the host's name")),
    command: Args.text({ name: "command" }).pipe(
      Args.withDescription("a program of the host and its arguments"),
      Args.atLeast(1)
    )
  },
  ({ name, command: [program, ...args] }) => Effect.flatMap(Shared.hosts, (_) => _.exec(name, [program, ...args]))
).pipe(Command.withDescription("Run a command on a host; put -- before it when it has options"))

const stop = Command.make("stop", { name: optionalName, output: Shared.output }, ({ name, output }) =>
  Effect.flatMap(Shared.hosts, (_) => _.stop(name, output))
).pipe(Command.withDescription("End a host and everything in it, as pulling the plug would"))

const list = Command.make("list", { output: Shared.output }, ({ output }) =>
  Effect.flatMap(Shared.hosts, (_) => _.list(output))
).pipe(Command.withDescription("List the hosts that run"))

/**
 * @since 0.1.0
 * @category commands
 */
export const command = Command.make("host").pipe(
  Command.withDescription("QEMU machines that play the physical host"),
  Command.withSubcommands([start, exec, stop, list])
)
