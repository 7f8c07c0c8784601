/**
 * What `agent upgrade` and `agent plan` are told: which VMs, and which kernel.
 *
 * @since 0.1.0
 */
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as HostFacts from "../upgrade/HostFacts.ts"
import type { UpgradeOptions } from "../upgrade/Preflight.ts"
import { UsageError } from "./UsageError.ts"

/**
 * @since 0.1.0
 * @category options
 */
export const options = {
  vms: Options.text("vm").pipe(
    Options.repeated,
    Options.withDescription("a VM to carry over; repeat it: VMs that are not named would die with the old kernel")
  ),
  all: Options.boolean("all").pipe(Options.withDescription("carry every VM that runs, but for those of --abandon")),
  abandon: Options.text("abandon").pipe(
    Options.repeated,
    Options.withDescription("a running VM that may die with the old kernel, as if its plug were pulled; repeat it")
  ),
  stopOthers: Options.boolean("stop-others").pipe(
    Options.withDescription("shut down the running VMs that are not carried; that is not undone if the live update is")
  ),
  kernel: Options.text("kernel").pipe(
    Options.withDescription("the next kernel's image (on the host that is upgraded)")
  ),
  initrd: Options.text("initrd").pipe(
    Options.optional,
    Options.withDescription("an initramfs for it; it is unpacked during the blackout")
  ),
  commandLine: Options.text("cmdline").pipe(
    Options.optional,
    Options.withDescription("the next kernel's command line")
  ),
  reuse: Options.boolean("reuse-cmdline").pipe(
    Options.withDescription("take the running kernel's command line (the default without --cmdline)")
  )
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Chosen {
  readonly vms: ReadonlyArray<string>
  readonly all: boolean
  readonly abandon: ReadonlyArray<string>
  readonly stopOthers: boolean
  readonly kernel: string
  readonly initrd: Option.Option<string>
  readonly commandLine: Option.Option<string>
  readonly reuse: boolean
}

/**
 * What the parser doesn't know.
 *
 * @since 0.1.0
 * @category parsing
 */
export const check = ({ vms, all, reuse, commandLine }: Chosen): Effect.Effect<void, UsageError> => {
  if (all === vms.length > 0)
    return new UsageError({
      message: all ? "--all takes every VM: leave --vm out." : "Which VMs? Name them with --vm ID, or take --all."
    })
  return reuse && Option.isSome(commandLine)
    ? new UsageError({ message: "--cmdline and --reuse-cmdline exclude each other: give one of them." })
    : Effect.void
}

/**
 * The same for the command on another host.
 *
 * @since 0.1.0
 * @category parsing
 */
export const forwarded = ({ vms, all, abandon, stopOthers, kernel, initrd, commandLine }: Chosen) => [
  ...(all ? ["--all"] : vms.flatMap((vm) => ["--vm", vm])),
  ...abandon.flatMap((vm) => ["--abandon", vm]),
  ...(stopOthers ? ["--stop-others"] : []),
  ...["--kernel", kernel],
  ...(Option.isSome(initrd) ? ["--initrd", initrd.value] : []),
  ...(Option.isSome(commandLine) ? ["--cmdline", commandLine.value] : ["--reuse-cmdline"])
]

/**
 * @since 0.1.0
 * @category parsing
 */
export const upgradeOptions = ({ vms, all, abandon, stopOthers, kernel, initrd, commandLine }: Chosen) =>
  Effect.map(
    HostFacts.commandLine,
    (running): UpgradeOptions => ({
      vms: all ? "all" : vms,
      abandon,
      stopOthers,
      kernel,
      ...(Option.isSome(initrd) ? { initrd: initrd.value } : {}),
      commandLine: Option.getOrElse(commandLine, () => running)
    })
  )
