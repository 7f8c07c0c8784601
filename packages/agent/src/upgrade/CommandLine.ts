/**
 * The next kernel's command line, and switches on one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HostFacts from "./HostFacts.ts"

/**
 * Stands for the running kernel's. No kernel could be told so: without `liveupdate=on` it would be refused.
 *
 * @since 0.1.0
 * @category constants
 */
export const REUSE = "reuse"

/**
 * The command line that is meant.
 *
 * @since 0.1.0
 * @category accessors
 */
export const resolve = (commandLine: string): Effect.Effect<string> =>
  commandLine === REUSE ? HostFacts.commandLine : Effect.succeed(commandLine)

/** `kstrtobool` in `lib/kstrtox.c`: the first letter decides, after an o the second. */
const asSwitch = (value: string): boolean | undefined =>
  /^([yt1]|on)/i.test(value) ? true : /^([nf0]|of)/i.test(value) ? false : undefined

/**
 * What a switch such as `liveupdate=on` says, or `undefined` when it isn't there. The last one counts, and one without a value is an
 * error that changes nothing (`early_liveupdate_param` in `kernel/liveupdate/luo_core.c`, `kho_parse_enable` in
 * `kernel/liveupdate/kexec_handover.c`).
 *
 * @since 0.1.0
 * @category accessors
 */
export const switchOf = (commandLine: string, name: "liveupdate" | "kho"): boolean | undefined =>
  commandLine
    .split(/\s+/)
    .filter((parameter) => parameter.startsWith(`${name}=`))
    .map((parameter) => asSwitch(parameter.slice(name.length + 1)))
    .findLast((said) => said !== undefined)
