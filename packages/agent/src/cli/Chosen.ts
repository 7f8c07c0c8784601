/**
 * What `agent upgrade` and `agent plan` are told: which VMs, and which kernel.
 *
 * @since 0.1.0
 */
import * as Options from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Effective from "../config/Effective.ts"
import type { Said } from "../config/Origin.ts"
import * as CommandLine from "../upgrade/CommandLine.ts"
import type { UpgradeOptions } from "../upgrade/Preflight.ts"
import * as SystemdJump from "../upgrade/SystemdJump.ts"
import * as Shared from "./Options.ts"
import { end, told } from "./Runner.ts"
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
    Shared.withSetting(
      "upgrade.stop-others",
      "shut down the running VMs that are not carried; that is not undone if the live update is"
    )
  ),
  leaveOthers: Options.boolean("no-stop-others").pipe(
    Options.withDescription("refuse when VMs run that are not carried, whatever the configuration says")
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
    Shared.withSetting("upgrade.cmdline", "the next kernel's command line")
  ),
  jump: Options.choice("jump", ["direct", "systemd"] as const).pipe(
    Options.optional,
    Shared.withSetting(
      "upgrade.jump",
      "direct: by the reboot call at once, the shortest blackout; systemd: by systemctl kexec, services stop in order"
    )
  ),
  reuse: Options.boolean("reuse-cmdline").pipe(
    Options.withDescription("take the running kernel's command line, whatever the configuration says")
  ),
  config: Shared.config
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
  readonly leaveOthers: boolean
  readonly kernel: string
  readonly initrd: Option.Option<string>
  readonly commandLine: Option.Option<string>
  readonly jump: Option.Option<"direct" | "systemd">
  readonly reuse: boolean
  readonly config: Option.Option<string>
}

/**
 * What the parser doesn't know.
 *
 * @since 0.1.0
 * @category parsing
 */
export const check = ({
  vms,
  all,
  stopOthers,
  leaveOthers,
  reuse,
  commandLine
}: Chosen): Effect.Effect<void, UsageError> => {
  if (all === vms.length > 0)
    return new UsageError({
      message: all ? "--all takes every VM: leave --vm out." : "Which VMs? Name them with --vm ID, or take --all."
    })
  if (stopOthers && leaveOthers)
    return new UsageError({ message: "--stop-others and --no-stop-others exclude each other: give one of them." })
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
export const forwarded = (chosen: Chosen): ReadonlyArray<string> => [
  ...(chosen.all ? ["--all"] : chosen.vms.flatMap((vm) => ["--vm", vm])),
  ...chosen.abandon.flatMap((vm) => ["--abandon", vm]),
  ...(chosen.stopOthers ? ["--stop-others"] : []),
  ...(chosen.leaveOthers ? ["--no-stop-others"] : []),
  ...["--kernel", chosen.kernel],
  ...Shared.forwarded("--initrd", chosen.initrd),
  ...Shared.forwarded("--cmdline", chosen.commandLine),
  ...Shared.forwarded("--jump", chosen.jump),
  ...(chosen.reuse ? ["--reuse-cmdline"] : []),
  ...Shared.forwarded("--config", chosen.config)
]

/**
 * What its flags say about settings.
 *
 * @since 0.1.0
 * @category parsing
 */
export const said = ({ stopOthers, leaveOthers, commandLine, jump, reuse }: Chosen): ReadonlyArray<Said> => [
  ...(stopOthers ? [Effective.flag("upgrade.stop-others", "--stop-others", true)] : []),
  ...(leaveOthers ? [Effective.flag("upgrade.stop-others", "--no-stop-others", false)] : []),
  ...Shared.said("upgrade.cmdline", "--cmdline", commandLine),
  ...Shared.said("upgrade.jump", "--jump", jump),
  ...(reuse ? [Effective.flag("upgrade.cmdline", "--reuse-cmdline", CommandLine.REUSE)] : [])
]

/**
 * What is chosen, on top of what the configuration says.
 *
 * @since 0.1.0
 * @category parsing
 */
export const upgradeOptions = (
  { vms, all, abandon, kernel, initrd }: Chosen,
  effective: Effective.Effective
): Effect.Effect<UpgradeOptions> => {
  const { upgrade, hooks } = effective.configuration
  const deadlines = Effective.deadlines(effective)
  return Effect.map(
    CommandLine.resolve(upgrade.cmdline),
    (commandLine): UpgradeOptions => ({
      vms: all ? "all" : vms,
      abandon,
      stopOthers: upgrade["stop-others"],
      stopPatience: Duration.seconds(upgrade["stop-timeout"]),
      kernel,
      ...(Option.isSome(initrd) ? { initrd: initrd.value } : {}),
      commandLine,
      hooksDirectory: hooks.directory,
      ...(upgrade.jump === "systemd" ? { jump: SystemdJump.make({ told, end }) } : {}),
      ...(Object.keys(deadlines).length === 0 ? {} : { deadlines })
    })
  )
}
