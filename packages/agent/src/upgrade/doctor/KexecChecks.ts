/**
 * Whether the next kernel can be loaded: kexec's switches, lockdown, signatures.
 *
 * @since 0.1.0
 */
import { type Facts, reasonOf } from "./Facts.ts"
import { fail, type Judgement, ok, unknown, warn } from "./Finding.ts"
import { isBuiltIn } from "./KernelConfig.ts"

const signing = "Sign the next kernel's image with a key that this kernel trusts, or boot without lockdown"

/**
 * Under lockdown an image whose signature isn't trusted is refused, unless IMA appraises it (`kimage_validate_signature` in
 * `kernel/kexec_file.c`). The file shows all levels, the one in force in brackets (`lockdown_read` in
 * `security/lockdown/lockdown.c`).
 *
 * @since 0.1.0
 * @category checks
 */
export const lockdown = ({ config, lockdown: fact, root }: Facts): Judgement => {
  if (fact._tag === "known") {
    const level = /\[(\w+)\]/.exec(fact.value)?.[1]
    if (level === "none") return ok("no lockdown is in force")
    return level === undefined
      ? unknown(`/sys/kernel/security/lockdown says "${fact.value}"`, "Look it up for this kernel")
      : warn(`lockdown is in force: ${level}`, signing)
  }
  if (fact._tag === "absent" && isBuiltIn(config, "CONFIG_SECURITY_LOCKDOWN_LSM") === false)
    return ok("this kernel was built without lockdown")
  return unknown(
    `whether lockdown is in force can't be told: ${reasonOf(fact)}`,
    root ? "Mount it: mount -t securityfs none /sys/kernel/security" : "Run it as root"
  )
}

/**
 * What was built in decides whether an image without a trusted signature is refused always, or only under lockdown and secure boot
 * (`sig_enforce` and `kimage_validate_signature` in `kernel/kexec_file.c`).
 *
 * @since 0.1.0
 * @category checks
 */
export const signatures = ({ config }: Facts): Judgement => {
  if (config._tag !== "known")
    return unknown(
      `whether kernels have to be signed can't be told: ${reasonOf(config)}`,
      "Look for CONFIG_KEXEC_SIG_FORCE in the configuration that the kernel was built with"
    )
  if (isBuiltIn(config, "CONFIG_KEXEC_SIG_FORCE") === true)
    return warn(
      "the kernel loads signed images only (CONFIG_KEXEC_SIG_FORCE)",
      "Sign the next kernel's image with a key that this kernel trusts"
    )
  return isBuiltIn(config, "CONFIG_KEXEC_SIG") === true
    ? ok("signatures of images are verified, and asked for only under lockdown or secure boot (CONFIG_KEXEC_SIG)")
    : ok("signatures of images are not looked at")
}

/**
 * `kexec_load_permitted` in `kernel/kexec_core.c`: the switch only goes from 0 to 1, the counter only down, -1 being no limit.
 * `kexec_file_load` asks it for an unload as well, so that a live update and its undo take two.
 *
 * @since 0.1.0
 * @category checks
 */
export const kexec = ({ kexecDisabled, kexecLoadsLeft }: Facts): Judgement => {
  if (kexecDisabled._tag === "absent")
    return fail(
      `the kernel can't kexec: ${reasonOf(kexecDisabled)}`,
      "Boot a kernel with CONFIG_KEXEC_FILE=y and CONFIG_KEXEC_HANDOVER=y"
    )
  if (kexecDisabled._tag === "unknown")
    return unknown(`whether a kernel can be loaded is not known: ${reasonOf(kexecDisabled)}`, "Run it as root")
  if (kexecDisabled.value !== "0")
    return fail(
      "loading kernels is disabled until the next boot (kernel.kexec_load_disabled=1)",
      "Reboot, and find who sets it: grep -rs kexec_load /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d"
    )
  // The counter came with Linux 6.3.
  if (kexecLoadsLeft._tag === "absent") return ok("kernels can be loaded")
  if (kexecLoadsLeft._tag === "unknown")
    return unknown(`how often a kernel can be loaded is not known: ${reasonOf(kexecLoadsLeft)}`, "Run it as root")
  const left = Number(kexecLoadsLeft.value)
  const raise = "Only a reboot raises it: sysctl kernel.kexec_load_limit_reboot"
  if (left < 0) return ok("kernels can be loaded, as often as it takes")
  if (left === 0) return fail("no kernel can be loaded any more: 0 of its loads are left", raise)
  return left === 1
    ? warn("one load of a kernel is left: if the live update were undone, it could not be unloaded", raise)
    : ok(`kernels can be loaded ${left} times more; a live update and its undo take two`)
}

/**
 * Some image is there already (`loaded` in `kernel/kexec_core.c`). A crash kernel is another one, and of no concern.
 *
 * @since 0.1.0
 * @category checks
 */
export const kexecLoaded = ({ kexecLoaded: fact }: Facts): Judgement => {
  if (fact._tag !== "known")
    return unknown(`whether a kernel is loaded already is not known: ${reasonOf(fact)}`, "See check kexec")
  return fact.value === "0"
    ? ok("no kernel is loaded yet")
    : warn(
        "a kernel is loaded already, by somebody else: a live update takes its place, and `systemctl kexec` would start it",
        "If nobody needs it, unload it: kexec -u"
      )
}
