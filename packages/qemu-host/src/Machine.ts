/**
 * QEMU machines that play hosts: started, found again by name, ended. A machine outlives the command that started it.
 *
 * @since 0.1.0
 */
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Accelerator from "./Accelerator.ts"
import type { HostAddress } from "./Channel.ts"
import * as FileLock from "./internal/fileLock.ts"
import * as Qmp from "./internal/qmp.ts"
import { run } from "./internal/subprocess.ts"

/**
 * What there is of a running host. Kept as `host.json` in its directory.
 *
 * @since 0.1.0
 * @category models
 */
export class RunningHost extends Schema.Class<RunningHost>("RunningHost")({
  name: Schema.String,
  /** `portN.sock`, `portN.lock`, `qmp.sock`, `serial.log`, `host.json`. */
  directory: Schema.String,
  ports: Schema.Int,
  pid: Schema.Int,
  /** Start time of the process in clock ticks, /proc/PID/stat field 22: with the pid it names one process for good. */
  startTicks: Schema.String,
  accelerator: Accelerator.Kind,
  cpus: Schema.Int,
  memoryMiB: Schema.Int,
  image: Schema.String,
  kernel: Schema.String,
  /** Milliseconds since the epoch. */
  startedAt: Schema.Number
}) {
  get serialLog() {
    return `${this.directory}/serial.log`
  }
  get address(): HostAddress {
    return { name: this.name, directory: this.directory, ports: this.ports }
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface MachineSpec {
  readonly name: string
  /** The QEMU to run: a path, or a name to be found in PATH. */
  readonly qemu: string
  /** Raw image of the root disk; never written, changes go to an overlay that ends with the machine, unless `keep` is set. */
  readonly image: string
  /** What the machine changes stays in the image, which no other one may use meanwhile. */
  readonly keep?: boolean | undefined
  /** bzImage to boot. */
  readonly kernel: string
  readonly accelerator: Accelerator.Kind
  readonly cpus?: number | undefined
  readonly memoryMiB?: number | undefined
  /** Channel ports: commands at once. */
  readonly ports?: number | undefined
  /**
   * With an IOMMU, and two pairs of PCI devices to be given to guests, which vfio-pci takes at boot: QEMU's `edu` (1234:11e8), which has
   * no reset of its own, and an `nvme` (1b36:0010), which has one. The first `nvme` can have one virtual function (SR-IOV).
   */
  readonly passthrough?: boolean | undefined
  /** Further kernel arguments. */
  readonly append?: string | undefined
  /** Further arguments of QEMU. */
  readonly extra?: ReadonlyArray<string> | undefined
}

/**
 * @since 0.1.0
 * @category errors
 */
export class HostAlreadyRunning extends Data.TaggedError("HostAlreadyRunning")<{ readonly host: RunningHost }> {
  override get message() {
    return `host ${this.host.name} runs already (pid ${this.host.pid}); use it, stop it, or choose another name`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export class HostNotRunning extends Data.TaggedError("HostNotRunning")<{ readonly name: string }> {
  override get message() {
    return `host ${this.name} is not running; start it with: agent host start ${this.name}`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export class BadHostName extends Data.TaggedError("BadHostName")<{ readonly name: string }> {
  override get message() {
    return `"${this.name}" is no host name: 1 to 32 letters, digits, - and _, a letter or digit first`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export class MachineFailed extends Data.TaggedError("MachineFailed")<{
  readonly operation: string
  readonly name: string
  readonly detail: string
}> {
  override get message() {
    return `host ${this.name}: cannot ${this.operation}: ${this.detail}`
  }
}

/**
 * @since 0.1.0
 * @category services
 */
export class Machine extends Context.Tag("@liveupdate/qemu-host/Machine")<
  Machine,
  {
    /** Starts a machine; returns when QEMU runs, long before the host is ready (see `Channel.waitReady`). */
    readonly start: (spec: MachineSpec) => Effect.Effect<RunningHost, HostAlreadyRunning | BadHostName | MachineFailed>
    /** The running host of that name. */
    readonly find: (name: string) => Effect.Effect<RunningHost, HostNotRunning | BadHostName>
    readonly list: Effect.Effect<ReadonlyArray<RunningHost>>
    /** Ends the machine as pulling its plug would: QMP quit, then SIGTERM, then SIGKILL, to that very process. */
    readonly stop: (name: string) => Effect.Effect<void, HostNotRunning | BadHostName | MachineFailed>
    /** Presses the reset button: power lost and back; what wasn't on the disk is gone. */
    readonly reset: (name: string) => Effect.Effect<void, HostNotRunning | BadHostName | MachineFailed>
  }
>() {}

/**
 * Start time out of `/proc/PID/stat`: field 22, counted behind the command name, which may hold anything.
 *
 * @since 0.1.0
 * @category pure
 */
export const startTicksOf = (stat: string): Option.Option<string> =>
  Option.fromNullable(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]).pipe(
    Option.filter((text) => /^[0-9]+$/.test(text))
  )

const PASSTHROUGH = [
  "-device",
  "intel-iommu,intremap=on",
  "-device",
  "edu",
  "-blockdev",
  "driver=null-co,node-name=passthrough,size=16777216,read-zeroes=on",
  "-device",
  "nvme-subsys,id=passthrough-subsystem",
  "-device",
  // Of a virtual function's own: two queues and an interrupt at least; the physical function keeps two queues and one interrupt.
  "nvme,serial=passthrough,subsys=passthrough-subsystem,id=passthrough-nvme,max_ioqpairs=4,msix_qsize=2,sriov_max_vfs=1,sriov_vq_flexible=2,sriov_vi_flexible=1",
  "-device",
  "nvme-ns,drive=passthrough,bus=passthrough-nvme",
  "-device",
  "edu",
  "-device",
  "nvme,serial=passthrough-2"
]

const PASSTHROUGH_KERNEL_ARGUMENTS = [
  "intel_iommu=on",
  "vfio-pci.ids=1234:11e8,1b36:0010",
  // Its own driver would be there first, on every kernel.
  "initcall_blacklist=nvme_init"
]

/**
 * The command line for QEMU.
 *
 * @since 0.1.0
 * @category pure
 */
export const qemuArguments = (
  spec: MachineSpec & { readonly cpus: number; readonly memoryMiB: number; readonly ports: number },
  directory: string
): ReadonlyArray<string> => [
  "-name",
  `liveupdate-${spec.name}`,
  "-nodefaults",
  "-no-user-config",
  "-display",
  "none",
  "-M",
  // KVM's own interrupt controller can't have its interrupts remapped.
  spec.passthrough === true && spec.accelerator === "kvm" ? "q35,kernel-irqchip=split" : "q35",
  ...(spec.passthrough === true ? PASSTHROUGH : []),
  ...Accelerator.cpuArguments(spec.accelerator),
  "-smp",
  String(spec.cpus),
  "-m",
  `${spec.memoryMiB}M`,
  "-drive",
  `file=${spec.image.replaceAll(",", ",,")},format=raw,if=none,id=root,snapshot=${spec.keep === true ? "off" : "on"},cache=unsafe`,
  "-device",
  "virtio-blk-pci,drive=root",
  "-device",
  "virtio-rng-pci",
  "-chardev",
  `file,id=serial,path=${directory}/serial.log,append=on`,
  "-serial",
  "chardev:serial",
  "-qmp",
  `unix:${directory}/qmp.sock,server=on,wait=off`,
  "-device",
  // One more than our ports: port 0 is reserved for a console.
  `virtio-serial-pci,max_ports=${spec.ports + 1}`,
  ...Array.from({ length: spec.ports }, (_, port) => [
    "-chardev",
    `socket,id=port${port},path=${directory}/port${port}.sock,server=on,wait=off`,
    "-device",
    `virtserialport,chardev=port${port},name=liveupdate.${port}`
  ]).flat(),
  "-kernel",
  spec.kernel,
  "-append",
  [
    "console=ttyS0",
    "root=/dev/vda",
    "rw",
    "liveupdate=on",
    "init=/usr/lib/liveupdate-host/init",
    // systemd asks the terminal for its size and waits for an answer that never comes.
    "TERM=dumb",
    // Preserving and retrieving memory cost per folio: guest RAM in huge ones costs next to nothing.
    "transparent_hugepage_shmem=always",
    // Processes fault their memory in by 64 KiB: a sixteenth of the faults, which are dear where the processor is emulated.
    "thp_anon=64K:always",
    "quiet",
    "panic=-1",
    ...(spec.passthrough === true ? PASSTHROUGH_KERNEL_ARGUMENTS : []),
    ...Accelerator.kernelArguments(spec.accelerator),
    ...(spec.append === undefined ? [] : [spec.append])
  ].join(" "),
  ...(spec.extra ?? []),
  "-pidfile",
  `${directory}/pid`,
  "-daemonize"
]

const json = Schema.parseJson(RunningHost)

/**
 * Hosts live in `$XDG_RUNTIME_DIR/liveupdate/hosts`, else in `/run/liveupdate/hosts` (root), else under the temporary
 * directory; always for their owner alone.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  Machine,
  MachineFailed,
  FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  Machine,
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const executor = yield* CommandExecutor.CommandExecutor
    const context = Context.make(CommandExecutor.CommandExecutor, executor)
    const uid = (yield* fs.readFileString("/proc/self/status").pipe(Effect.orElseSucceed(() => ""))).match(
      /^Uid:\s+\d+\s+(\d+)/m
    )?.[1]
    const runtime = yield* Config.option(Config.nonEmptyString("XDG_RUNTIME_DIR")).pipe(
      Effect.orElseSucceed(() => Option.none<string>())
    )
    const hosts = paths.join(
      Option.getOrElse(runtime, () => (uid === "0" ? "/run" : `/tmp/liveupdate-${uid ?? "user"}`)),
      "liveupdate",
      "hosts"
    )
    const failed = (operation: string, name: string) => (error: { readonly message: string }) =>
      new MachineFailed({ operation, name, detail: error.message })

    const directoryOf = (name: string) =>
      /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(name)
        ? Effect.succeed(paths.join(hosts, name))
        : Effect.fail(new BadHostName({ name }))

    const ticks = (pid: number) =>
      fs.readFileString(`/proc/${pid}/stat`).pipe(
        Effect.map(startTicksOf),
        Effect.orElseSucceed(() => Option.none<string>())
      )
    const alive = (host: RunningHost) =>
      Effect.map(ticks(host.pid), (now) => Option.isSome(now) && now.value === host.startTicks)

    const find = Effect.fn("Machine.find")(function* (name: string) {
      const directory = yield* directoryOf(name)
      const host = yield* fs.readFileString(paths.join(directory, "host.json")).pipe(
        Effect.flatMap(Schema.decode(json)),
        Effect.mapError(() => new HostNotRunning({ name }))
      )
      if (!(yield* alive(host))) return yield* new HostNotRunning({ name })
      return host
    })

    const start = Effect.fn("Machine.start")(
      function* (spec: MachineSpec) {
        const { name } = spec
        const directory = yield* directoryOf(name)
        const full = {
          ...spec,
          cpus: spec.cpus ?? 2,
          memoryMiB: spec.memoryMiB ?? 4096,
          ports: spec.ports ?? 8
        }
        // sockaddr_un.sun_path has 108 bytes.
        if (Buffer.byteLength(`${directory}/port${full.ports}.sock`) > 107)
          return yield* new MachineFailed({
            operation: "start",
            name,
            detail: `the path ${directory} is too long for sockets`
          })
        yield* fs.makeDirectory(hosts, { recursive: true, mode: 0o700 }).pipe(Effect.mapError(failed("start", name)))
        yield* FileLock.lock(paths.join(hosts, `${name}.lock`)).pipe(
          Effect.provide(context),
          Effect.mapError(failed("start", name))
        )
        const running = yield* Effect.option(find(name))
        if (Option.isSome(running)) return yield* new HostAlreadyRunning({ host: running.value })
        yield* fs
          .remove(directory, { recursive: true, force: true })
          .pipe(Effect.mapError(failed("clean up after", name)))
        yield* fs.makeDirectory(directory, { mode: 0o700 }).pipe(Effect.mapError(failed("start", name)))
        const argv = qemuArguments(full, directory)
        yield* run([spec.qemu, ...argv]).pipe(Effect.provide(context), Effect.mapError(failed("start", name)))
        // -daemonize sets a umask of its own (027).
        for (const entry of yield* fs.readDirectory(directory).pipe(Effect.mapError(failed("start", name))))
          yield* fs.chmod(paths.join(directory, entry), 0o600).pipe(Effect.mapError(failed("start", name)))
        const pid = Number(
          (yield* fs.readFileString(paths.join(directory, "pid")).pipe(Effect.mapError(failed("start", name)))).trim()
        )
        const startTicks = yield* Effect.flatMap(ticks(pid), (value) => value).pipe(
          Effect.mapError(
            () => new MachineFailed({ operation: "start", name, detail: `QEMU (pid ${pid}) ended at once` })
          )
        )
        const host = new RunningHost({
          name,
          directory,
          ports: full.ports,
          pid,
          startTicks,
          accelerator: spec.accelerator,
          cpus: full.cpus,
          memoryMiB: full.memoryMiB,
          image: spec.image,
          kernel: spec.kernel,
          startedAt: yield* Clock.currentTimeMillis
        })
        const file = paths.join(directory, "host.json")
        yield* Schema.encode(json)(host).pipe(
          Effect.flatMap((text) => fs.writeFileString(`${file}.new`, text, { mode: 0o600 })),
          Effect.zipRight(fs.rename(`${file}.new`, file)),
          Effect.mapError(failed("remember", name))
        )
        return host
      },
      Effect.scoped,
      Effect.uninterruptible
    )

    const gone = (host: RunningHost, within: string) =>
      alive(host).pipe(
        Effect.repeat({ until: (yes) => !yes, schedule: Schedule.spaced("20 millis") }),
        Effect.timeoutOption(within as "3 seconds"),
        Effect.map(Option.isSome)
      )

    return {
      start,
      find,
      list: Effect.gen(function* () {
        const names = yield* fs.readDirectory(hosts).pipe(Effect.orElseSucceed(() => []))
        const found = yield* Effect.forEach(names.filter((name) => !name.endsWith(".lock")).sort(), (name) =>
          Effect.option(find(name))
        )
        return found.flatMap(Option.toArray)
      }).pipe(Effect.withSpan("Machine.list")),
      stop: Effect.fn("Machine.stop")(function* (name: string) {
        const host = yield* find(name)
        const signal = (which: string) =>
          // Only if it is still the process that was started: pids come again.
          Effect.flatMap(alive(host), (yes) =>
            yes ? Effect.ignore(Effect.provide(run(["kill", `-${which}`, String(host.pid)]), context)) : Effect.void
          )
        yield* Effect.ignore(Qmp.execute(paths.join(host.directory, "qmp.sock"), "quit"))
        if (!(yield* gone(host, "3 seconds"))) {
          yield* signal("TERM")
          if (!(yield* gone(host, "3 seconds"))) {
            yield* signal("KILL")
            if (!(yield* gone(host, "5 seconds")))
              return yield* new MachineFailed({ operation: "stop", name, detail: `pid ${host.pid} does not end` })
          }
        }
        yield* fs
          .remove(host.directory, { recursive: true, force: true })
          .pipe(Effect.mapError(failed("clean up after", name)))
      }),
      reset: Effect.fn("Machine.reset")(function* (name: string) {
        const host = yield* find(name)
        yield* Qmp.execute(paths.join(host.directory, "qmp.sock"), "system_reset").pipe(
          Effect.mapError(failed("reset", name))
        )
      })
    }
  })
)
