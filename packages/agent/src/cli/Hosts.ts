/**
 * QEMU hosts, and commands on them from outside: the agent inside runs them, its events and exit code come out.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { Cache } from "@liveupdate/qemu-host/Cache"
import * as Channel from "@liveupdate/qemu-host/Channel"
import type { Payload } from "@liveupdate/qemu-host/Installed"
import * as Progress from "@liveupdate/qemu-host/Progress"
import * as QemuHost from "@liveupdate/qemu-host/QemuHost"
import * as SystemImage from "@liveupdate/qemu-host/SystemImage"
import * as KernelImageContents from "@liveupdate/sdk/KernelImageContents"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as KnownImages from "../upgrade/doctor/KnownImages.ts"
import * as Event from "../upgrade/Event.ts"
import * as RunLog from "../upgrade/RunLog.ts"
import * as TimeLine from "../upgrade/TimeLine.ts"
import { NeedsOperator, PreconditionFailed } from "../upgrade/UpgradeError.ts"
import { VmSpecUnreadable } from "../vmm/VmSpec.ts"
import * as AgentPackage from "./AgentPackage.ts"
import { ExitCode, fromResult } from "./ExitCode.ts"
import * as LiveBar from "./LiveBar.ts"
import * as Output from "./Output.ts"
import { Exited } from "./Runner.ts"
import { UsageError } from "./UsageError.ts"

/**
 * `qemu` or `qemu:NAME` → NAME
 *
 * @since 0.1.0
 * @category parsing
 */
export const nameOf = (host: string): Effect.Effect<string, UsageError> => {
  const name = /^qemu(?::(.+))?$/.exec(host)
  return name === null
    ? Effect.fail(new UsageError({ message: `--host ${host} is not understood: give qemu or qemu:NAME.` }))
    : Effect.succeed(name[1] ?? "default")
}

/**
 * Hosts, with progress as lines on stderr.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = QemuHost.layerDefault.pipe(
  Layer.provideMerge(
    Progress.layerLines({
      write: (text) => Effect.sync(() => void process.stderr.write(text)),
      terminal: process.stderr.isTTY === true
    })
  )
)

const AGENT = "/usr/bin/agent"

/** Ends the command when whoever reads its output has gone, as SIGPIPE would. */
const write = (stream: NodeJS.WriteStream) => (output: Stream.Stream<Uint8Array>) =>
  Stream.runForEach(output, (bytes) =>
    Effect.async<void, Exited>((resume) => {
      stream.write(bytes, (error) => resume(error ? Effect.fail(new Exited(ExitCode.outputClosed)) : Effect.void))
    })
  )

const lines = (output: Stream.Stream<Uint8Array>, onLine: (line: string) => void) =>
  Stream.runForEach(Channel.lines(output), (line) => Effect.sync(() => onLine(line)))

/** Ends as the command inside ended: a signal's code as a shell would give it. */
const endAs = (status: Channel.ExitStatus): Effect.Effect<void, Exited> => {
  const code = status._tag === "Exited" ? status.code : 128 + status.signal
  return code === 0 ? Effect.void : Effect.fail(new Exited(code))
}

/** SIGINT and SIGTERM of this process reach the command inside through the scope's end. */
const run = (name: string, argv: readonly [string, ...Array<string>], options: Channel.ExecOptions = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const hosts = yield* QemuHost.QemuHost
      const child = yield* hosts.exec(name, argv, options)
      yield* Effect.all([write(process.stdout)(child.stdout), write(process.stderr)(child.stderr)], {
        concurrency: "unbounded"
      })
      yield* endAs(yield* child.exit)
    })
  )

/**
 * Runs any command on a host; output passes through.
 *
 * @since 0.1.0
 * @category commands
 */
export const exec = (name: string, argv: readonly [string, ...Array<string>]) => Effect.provide(run(name, argv), layer)

/**
 * Runs a command of the agent on a host; output passes through.
 *
 * @since 0.1.0
 * @category commands
 */
export const forward = (host: string, args: ReadonlyArray<string>) =>
  Effect.flatMap(nameOf(host), (name) => Effect.provide(run(name, [AGENT, ...args]), layer))

/**
 * Starts a VM on a host from a spec that lies outside; the paths in it are the host's.
 *
 * @since 0.1.0
 * @category commands
 */
export const startVm = (host: string, spec: string, options: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const name = yield* nameOf(host)
    const content = yield* Effect.try({
      try: () => Fs.readFileSync(spec),
      catch: (error) =>
        new VmSpecUnreadable({
          path: spec,
          code: error instanceof Error && "code" in error ? String(error.code) : String(error)
        })
    })
    const directory = "/run/liveupdate/specs"
    const inside = `${directory}/${Path.basename(spec)}`
    const hosts = yield* QemuHost.QemuHost
    const channel = yield* Channel.Channel
    const { address } = yield* hosts.find(name)
    yield* channel.output(address, ["install", "-d", "-m", "0700", Path.dirname(directory), directory])
    yield* channel.push(address, Stream.make(new Uint8Array(content)), inside, 0o600)
    yield* run(name, [AGENT, "vm", "start", ...options, inside])
  }).pipe(Effect.provide(layer))

/** What was seen of a run so far: the log on the host's disk has it again, so the same events are shown once. */
interface Seen {
  readonly events: Array<Event.Event>
  run: string | undefined
}

const see = (seen: Seen, listener: (event: Event.Event) => void) => (event: Event.Event) => {
  seen.run = event.run
  seen.events.push(event)
  listener(event)
}

const firstHalf = (name: string, args: ReadonlyArray<string>, seen: Seen, listener: (event: Event.Event) => void) =>
  Effect.scoped(
    Effect.gen(function* () {
      const hosts = yield* QemuHost.QemuHost
      const child = yield* hosts.exec(name, [AGENT, "upgrade", ...args, "--output", "ndjson"])
      const onEvent = see(seen, listener)
      const onLine = (line: string) => {
        const event = Event.parse(line)
        if (event !== undefined) onEvent(event)
      }
      yield* Effect.all([lines(child.stdout, onLine), write(process.stderr)(child.stderr)], {
        concurrency: "unbounded"
      })
      // The first half ends well only by never ending: the host is lost to the next kernel.
      return yield* child.exit.pipe(
        Effect.flatMap(endAs),
        Effect.as("ended" as const),
        Effect.catchTag("HostRebooted", () => Effect.succeed("jumped" as const))
      )
    })
  )

/**
 * The run's log is read as a file: an agent started for that would take its time, with the host still busy booting.
 */
const secondHalf = (name: string, run: string, seen: Seen, listener: (event: Event.Event) => void) =>
  Effect.scoped(
    Effect.gen(function* () {
      const hosts = yield* QemuHost.QemuHost
      const onEvent = see(seen, listener)
      const child = yield* hosts.exec(name, ["tail", "-n", "+1", "-F", RunLog.fileOf(run)])
      yield* Channel.lines(child.stdout).pipe(
        Stream.filterMap((line) => Option.fromNullable(Event.parse(line))),
        Stream.drop(seen.events.length),
        Stream.tap((event) => Effect.sync(() => onEvent(event))),
        Stream.runForEachWhile((event) => Effect.succeed(event.type !== "outcome"))
      )
    })
  )

/**
 * A live update of a host, watched from outside through its jump.
 *
 * @since 0.1.0
 * @category commands
 */
export const upgrade = (
  host: string,
  options: { readonly arguments: ReadonlyArray<string>; readonly output: Output.Format }
) =>
  Effect.gen(function* () {
    const name = yield* nameOf(host)
    const listener = yield* LiveBar.listener(options.output)
    const seen: Seen = { events: [], run: undefined }
    if ((yield* firstHalf(name, options.arguments, seen, listener)) === "ended") {
      // A dry run.
      const last = seen.events.at(-1)
      if (options.output === "human" && last?.type === "outcome") yield* Output.result("human", last.message, {})
      return
    }
    if (seen.run === undefined)
      return yield* new NeedsOperator({
        vms: [{ vm: "unknown", step: "preflight", reason: "the host went through a reboot before its agent began" }]
      })
    yield* secondHalf(name, seen.run, seen, listener).pipe(
      Effect.timeoutFail({
        duration: "3 minutes",
        onTimeout: () =>
          new NeedsOperator({
            vms: [{ vm: "unknown", step: "boot", reason: "the host is up, but its agent reports no outcome" }]
          })
      })
    )
    const outcome = seen.events.findLast((event) => event.type === "outcome")
    const line = TimeLine.make(seen.events)
    if (options.output === "human" && line !== undefined)
      yield* Output.result("human", `\n${TimeLine.render(line)}\n`, {})
    if (outcome?.result !== "upgraded") {
      yield* Effect.sync(() => process.stderr.write(`agent: ${outcome?.message ?? "the run has no outcome"}\n`))
      return yield* Effect.fail(new Exited(fromResult(outcome?.result)))
    }
    if (options.output === "human") yield* Output.result("human", outcome.message, {})
  }).pipe(Effect.scoped, Effect.provide(layer))

const INSTALLED_FROM = "/var/cache/liveupdate-agent.deb"

/** What the agent keeps of kernels that it has looked into: to decompress one takes an emulated processor many seconds, and this one none. */
const knownImages = (directory: string) => (images: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const memory = KnownImages.make(directory)
    const files = new Set<string>()
    const noting: KernelImageContents.Memory = {
      ...memory,
      recall: (digest) =>
        Effect.zipRight(
          Effect.sync(() => files.add(`${digest}.json`)),
          memory.recall(digest)
        )
    }
    // One that can't be read is the agent's to tell.
    yield* Effect.forEach(images, (image) => Effect.ignore(KernelImageContents.read(image, noting)))
    return [
      { mode: 0o700, to: KnownImages.directory },
      ...[...files]
        .filter((file) => Fs.existsSync(Path.join(directory, file)))
        .map((file) => ({ from: Path.join(directory, file), to: Path.join(KnownImages.directory, file) }))
    ]
  })

/**
 * The agent as operators install it: its Debian package, of what the workspace holds now.
 *
 * @since 0.1.0
 * @category payload
 */
export const payload: Effect.Effect<Payload, PreconditionFailed, Cache> = Effect.gen(function* () {
  const { directory } = yield* Cache
  const from = yield* AgentPackage.file
  return [
    { from, to: INSTALLED_FROM },
    {
      what: "installing the agent on a host",
      // Nothing needs to reach the disk at once: a host that loses power meanwhile is made anew.
      run: ["sh", "-ec", `dpkg --force-unsafe-io --install ${INSTALLED_FROM} && rm ${INSTALLED_FROM}`]
    },
    { ofKernels: knownImages(Path.join(directory, "images")) }
  ]
})

/** Where `npm run package` leaves it. */
const packages = fileURLToPath(new URL("../../build", import.meta.url))

/**
 * A machine without the agent, for whoever installs it as docs/install.md says: its Debian package lies in root's home, and a guest's files in
 * /srv/web-1.
 *
 * @since 0.1.0
 * @category payload
 */
export const barePayload: Effect.Effect<Payload, PreconditionFailed> = Effect.try(() =>
  Fs.readdirSync(packages).filter((file) => /^liveupdate-agent_.*_amd64\.deb$/.test(file))
).pipe(
  Effect.orElseSucceed(() => []),
  Effect.filterOrFail(
    Arr.isNonEmptyReadonlyArray,
    () =>
      new PreconditionFailed({
        what: `The agent's Debian package is not built: ${packages}`,
        next: "Such a host is started from the workspace: run npm run package there"
      })
  ),
  Effect.map((files) => [
    ...files.map((file) => ({ from: Path.join(packages, file), to: `/root/${file}` })),
    { link: SystemImage.inside.guestKernel, to: "/srv/web-1/vmlinux" },
    { link: SystemImage.inside.guestInitramfs, to: "/srv/web-1/initramfs.cpio" }
  ])
)

/**
 * The first process of a machine without the agent: not the one that starts a second half before systemd.
 *
 * @since 0.1.0
 * @category payload
 */
export const BARE_INIT = "init=/usr/lib/systemd/systemd"

/**
 * Builds what is missing, boots a host, and waits until it answers.
 *
 * @since 0.1.0
 * @category commands
 */
export const start = (
  name: string,
  {
    append,
    bare,
    ...options
  }: Pick<QemuHost.StartOptions, "memoryMiB" | "append" | "passthrough" | "flavour"> & { readonly bare: boolean },
  output: Output.Format
) =>
  Effect.gen(function* () {
    const hosts = yield* QemuHost.QemuHost
    const host = yield* hosts.start(name, {
      ...options,
      payload: yield* bare ? barePayload : payload,
      append: bare ? `${BARE_INIT} ${append ?? ""}` : append
    })
    yield* Output.result(
      output,
      `Host ${name} runs (pid ${host.pid}, ${host.accelerator}, ${host.memoryMiB} MiB). Its console: ${host.serialLog}`,
      { type: "host", name, pid: host.pid, accelerator: host.accelerator, serialLog: host.serialLog }
    )
  }).pipe(Effect.provide(layer))

/**
 * @since 0.1.0
 * @category commands
 */
export const stop = (name: string, output: Output.Format) =>
  Effect.gen(function* () {
    const hosts = yield* QemuHost.QemuHost
    yield* hosts.stop(name)
    yield* Output.result(output, `Host ${name} is stopped.`, { type: "host", name, state: "stopped" })
  }).pipe(Effect.provide(layer))

/**
 * @since 0.1.0
 * @category commands
 */
export const list = (output: Output.Format) =>
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
  }).pipe(Effect.provide(layer))
