/**
 * How the host's machine is run: by KVM if it truly works here, else by QEMU's own translator (TCG).
 *
 * @since 0.1.0
 */
import { readFileSync } from "node:fs"
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Cache } from "./Cache.ts"
import { type Progress, track } from "./Progress.ts"

/**
 * @since 0.1.0
 * @category models
 */
export const Kind = Schema.Literal("kvm", "tcg")

/**
 * @since 0.1.0
 * @category models
 */
export type Kind = typeof Kind.Type

/**
 * @since 0.1.0
 * @category services
 */
export class Accelerator extends Context.Tag("@liveupdate/qemu-host/Accelerator")<
  Accelerator,
  {
    /**
     * `LIVEUPDATE_ACCEL` if set, else what was found out since this machine was booted, else the result of a trial: the
     * kernel image is booted on KVM, by this QEMU, and given five seconds for its first line. `/dev/kvm` alone proves nothing: there are
     * machines where it opens and then hangs.
     */
    readonly probe: (kernelImage: string, qemu: string) => Effect.Effect<Kind, never, Progress>
  }
>() {}

/**
 * QEMU's arguments for each. TCG is given a CPU without features that cost it dear: it executes `rep movsb` byte by byte, so
 * ERMS and FSRM make every page copy slower; SMAP ends a translated block twice per copy to user space; five-level paging
 * lengthens every walk. When the buffer for translated code is full, all of it is thrown away, at any moment, such as the one in
 * which guests stand still; a host's start fills a quarter of the usual 1 GiB.
 *
 * @since 0.1.0
 * @category arguments
 */
export const cpuArguments = (kind: Kind): ReadonlyArray<string> =>
  kind === "kvm"
    ? ["-accel", "kvm", "-cpu", "host"]
    : ["-accel", "tcg,thread=multi,tb-size=2048", "-cpu", "max,erms=off,fsrm=off,smap=off,la57=off,pku=off"]

/**
 * Under TCG the host's time stamp counter is the machine's own, but a busy machine lets the kernel inside measure its
 * frequency wrongly, and guests' clocks then run at different speeds before and after a jump. A virtual machine's kernel
 * knows the frequency from its hypervisor; elsewhere "cpu MHz" is the momentary speed of a core and tells nothing.
 *
 * @since 0.1.0
 * @category arguments
 */
export const tscArguments = (cpuInfo: string): ReadonlyArray<string> => {
  const mhz = /^cpu MHz\s*: (\d+\.\d+)$/m.exec(cpuInfo)?.[1]
  return mhz !== undefined && /^flags\s*:.* hypervisor\b/m.test(cpuInfo)
    ? [`tsc_early_khz=${Math.round(Number(mhz) * 1000)}`]
    : []
}

const readCpuInfo = (): string => {
  try {
    return readFileSync("/proc/cpuinfo", "utf8")
  } catch {
    return ""
  }
}

/**
 * Kernel arguments to go with them. Emulated processors share one time stamp counter, so it needs no watching: on a busy machine
 * the kernel's watchdog would find it wanting, and guests would lose their clock's source. And the emulator translates code anew for
 * each address that it finds it at: eight VMMs at addresses of their own would cost it eight translations, which no hardware knows of.
 *
 * @since 0.1.0
 * @category arguments
 */
export const kernelArguments = (kind: Kind): ReadonlyArray<string> =>
  kind === "kvm" ? [] : ["clearcpuid=erms,fsrm,rep_good", "tsc=reliable", "norandmaps", ...tscArguments(readCpuInfo())]

const Remembered = Schema.parseJson(Schema.Struct({ bootId: Schema.String, qemu: Schema.String, kind: Kind }))

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  Accelerator,
  never,
  Cache | FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor
> = Layer.effect(
  Accelerator,
  Effect.gen(function* () {
    const cache = yield* Cache
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const executor = yield* CommandExecutor.CommandExecutor
    const memory = paths.join(cache.directory, "accelerator.json")

    const trial = (image: string, qemu: string) =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* Command.start(
            Command.make(
              qemu,
              "-nodefaults",
              "-no-user-config",
              "-display",
              "none",
              "-M",
              "q35",
              ...cpuArguments("kvm"),
              "-m",
              "512M",
              "-no-reboot",
              "-kernel",
              image,
              "-append",
              "console=ttyS0 earlyprintk=ttyS0 panic=-1",
              "-serial",
              "stdio"
            )
          )
          const line = yield* machine.stdout.pipe(
            Stream.decodeText(),
            Stream.splitLines,
            Stream.filter((line) => line.includes("Linux version")),
            Stream.runHead,
            Effect.timeout("5 seconds"),
            Effect.ensuring(Effect.ignore(machine.kill("SIGKILL")))
          )
          return Option.isSome(line)
        })
      ).pipe(
        Effect.provideService(CommandExecutor.CommandExecutor, executor),
        Effect.orElseSucceed(() => false)
      )

    return {
      probe: Effect.fn("Accelerator.probe")(function* (image: string, qemu: string) {
        const wanted = yield* Config.option(Config.literal("kvm", "tcg")("LIVEUPDATE_ACCEL")).pipe(
          Effect.orElseSucceed(() => Option.none<Kind>())
        )
        if (Option.isSome(wanted)) return wanted.value
        const usable = yield* fs.access("/dev/kvm", { readable: true, writable: true }).pipe(
          Effect.as(true),
          Effect.orElseSucceed(() => false)
        )
        if (!usable) return "tcg"
        const bootId = (yield* fs
          .readFileString("/proc/sys/kernel/random/boot_id")
          .pipe(Effect.orElseSucceed(() => ""))).trim()
        const version = yield* Command.string(Command.make(qemu, "--version")).pipe(
          Effect.provideService(CommandExecutor.CommandExecutor, executor),
          Effect.map((text) => text.split("\n")[0] ?? ""),
          Effect.orElseSucceed(() => "")
        )
        const before = yield* fs.readFileString(memory).pipe(Effect.flatMap(Schema.decode(Remembered)), Effect.option)
        if (Option.isSome(before) && before.value.bootId === bootId && before.value.qemu === version)
          return before.value.kind
        const kind: Kind = (yield* track("hardware virtualisation probe", () => trial(image, qemu))) ? "kvm" : "tcg"
        yield* Schema.encode(Remembered)({ bootId, qemu: version, kind }).pipe(
          Effect.flatMap((text) => fs.writeFileString(memory, text)),
          Effect.ignore
        )
        return kind
      })
    }
  })
)
