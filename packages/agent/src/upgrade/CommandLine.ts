/**
 * Switches on a kernel's command line.
 *
 * @since 0.1.0
 */

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
