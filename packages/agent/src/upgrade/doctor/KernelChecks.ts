/**
 * Whether the running kernel can do a live update: what it is, LUO, KHO, and which files it can preserve.
 *
 * @since 0.1.0
 */
import type { Answer } from "@liveupdate/sdk/Capabilities"
import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as CommandLine from "../CommandLine.ts"
import { type Facts, type Process, reasonOf, value } from "./Facts.ts"
import { fail, type Judgement, ok, unknown, warn } from "./Finding.ts"
import { isBuiltIn } from "./KernelConfig.ts"

const MIB = 1 << 20

/** What somebody who isn't root has to do to learn more; root may have to mount it. */
const toSeeDebugfs = (facts: Facts): string =>
  facts.root
    ? "Mount it: mount -t debugfs none /sys/kernel/debug; the kernel needs CONFIG_KEXEC_HANDOVER_DEBUGFS=y, and no lockdown"
    : "Run it as root"

/**
 * kexec_file_load with a handover is there for 64-bit x86 and arm64 (`ARCH_SUPPORTS_KEXEC_HANDOVER` in `arch/x86/Kconfig`,
 * `arch/arm64/Kconfig`).
 *
 * @since 0.1.0
 * @category checks
 */
export const kernel = ({ machine, release }: Facts): Judgement =>
  machine === "x86_64" || machine === "aarch64"
    ? ok(`Linux ${release}, ${machine}`)
    : fail(`Linux ${release} on ${machine}`, "Use a 64-bit x86 or arm64 machine: others have no kexec handover")

/** The message says what to do as well; here that stands on a line of its own. */
const said = (error: LiveUpdateError): string => error.message.replace(` ${error.next}`, "")

/** Why there is no device, as far as that can be told: `liveupdate_ioctl_init`, `luo_early_startup` in `kernel/liveupdate/luo_core.c`. */
const withoutDevice = ({ commandLine, config }: Facts, error: LiveUpdateError): string => {
  if (isBuiltIn(config, "CONFIG_LIVEUPDATE") === false)
    return "Boot a kernel with CONFIG_LIVEUPDATE=y and CONFIG_LIVEUPDATE_MEMFD=y; this one was built without"
  if (CommandLine.switchOf(commandLine, "liveupdate") === false)
    return "Boot without liveupdate=off, and with liveupdate=on"
  if (CommandLine.switchOf(commandLine, "kho") === false)
    return "Boot without kho=off: the kernel turns live update off with it"
  if (CommandLine.switchOf(commandLine, "liveupdate") === undefined)
    return "Boot with liveupdate=on: it is missing on the kernel's command line"
  return error.next
}

/**
 * @since 0.1.0
 * @category checks
 */
export const liveUpdate = (facts: Facts): Judgement => {
  if (facts.device._tag === "usable") return ok("/dev/liveupdate can be opened")
  if (facts.device._tag === "skipped")
    return unknown(
      `/dev/liveupdate was not opened: ${facts.device.reason}`,
      "Run agent doctor again when that has ended"
    )
  const { error } = facts.device
  switch (error._tag) {
    case "DeviceBusy":
      // luo_open (kernel/liveupdate/luo_core.c) looks for other openers first: who has it open could open it.
      return ok("/dev/liveupdate is there, and another process has it open")
    case "DeviceMissing":
      return fail(said(error), withoutDevice(facts, error))
    case "PermissionDenied":
      return facts.root
        ? fail(said(error), error.next)
        : unknown("/dev/liveupdate is there, and root's alone", "Run it as root")
    default:
      return fail(said(error), error.next)
  }
}

const name = ({ pid, name }: Process): string => `${name} (pid ${pid})`

/**
 * The device admits one opener at a time (`luo_open` in `kernel/liveupdate/luo_core.c`).
 *
 * @since 0.1.0
 * @category checks
 */
export const deviceHolder = (facts: Facts): Judgement => {
  const holders = facts.deviceHolders
  if (holders._tag !== "known")
    return unknown(`who has /dev/liveupdate open can't be seen: ${reasonOf(holders)}`, "Run it as root")
  const [first, ...others] = holders.value
  if (first !== undefined)
    return fail(
      `/dev/liveupdate is open in ${[first, ...others].map(name).join(", ")}`,
      `Wait for it, or look what it is: ps -fp ${[first, ...others].map((_) => _.pid).join(",")}`
    )
  return facts.device._tag === "refused" && facts.device.error._tag === "DeviceBusy"
    ? fail(
        "/dev/liveupdate was open elsewhere, in a process that can't be seen from here or that has closed it since",
        "Run agent doctor again; if it stays so, look outside this container: fuser -v /dev/liveupdate"
      )
    : ok("nobody has /dev/liveupdate open")
}

/** One hexadecimal length a line (`scratch_len_show` in `kernel/liveupdate/kexec_handover_debugfs.c`). */
const describeScratch = (text: string): string => {
  const areas = text
    .split("\n")
    .map(Number)
    .filter((length) => length > 0)
  const total = areas.reduce((sum, length) => sum + length, 0)
  return `scratch memory of ${Math.round(total / MIB)} MiB in ${areas.length} area(s)`
}

/**
 * Kexec handover is a switch of its own (`kho_parse_enable` in `kernel/liveupdate/kexec_handover.c`), and LUO turns itself off
 * without it (`luo_early_startup` in `kernel/liveupdate/luo_core.c`).
 *
 * @since 0.1.0
 * @category checks
 */
export const kho = (facts: Facts): Judgement => {
  const { commandLine, config, device, scratch } = facts
  if (scratch._tag === "known") return ok(`kexec handover is on, ${describeScratch(scratch.value)}`)
  const size = `the size of its scratch memory is unknown: ${reasonOf(scratch)}`
  const luoWorks = device._tag === "usable" || (device._tag === "refused" && device.error._tag === "DeviceBusy")
  if (luoWorks) return ok(`kexec handover is on, as live update is; ${size}`)
  if (CommandLine.switchOf(commandLine, "kho") === false)
    return fail("the kernel's command line says kho=off", "Boot without it")
  if (isBuiltIn(config, "CONFIG_KEXEC_HANDOVER") === false)
    return fail(
      "the kernel was built without kexec handover",
      "Boot a kernel with CONFIG_KEXEC_FILE=y and CONFIG_KEXEC_HANDOVER=y"
    )
  if (CommandLine.switchOf(commandLine, "kho") === true) return ok(`kexec handover is turned on by kho=on; ${size}`)
  switch (isBuiltIn(config, "CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT")) {
    case true:
      return ok(`kexec handover is turned on by default; ${size}`)
    case false:
      return fail("kexec handover is off: it is not this kernel's default", "Boot with kho=on")
    case undefined:
      return unknown(`whether kexec handover is on can't be told; ${size}`, toSeeDebugfs(facts))
  }
}

/**
 * The string of an interface: one of a flattened device tree, or the first of a struct (`luo_ser` in
 * `include/linux/kho/abi/luo.h`).
 *
 * @since 0.1.0
 * @category accessors
 */
export const abiString = (text: string | undefined, prefix: string): string | undefined =>
  new RegExp(`${prefix}-v[!-~]+`).exec(text ?? "")?.[0]

/**
 * The next kernel has to read what this one writes: a LUO that doesn't know the string panics
 * (`luo_early_startup` in `kernel/liveupdate/luo_core.c`), a KHO that doesn't boots as if nothing had been handed over
 * (`kho_populate` in `kernel/liveupdate/kexec_handover.c`).
 *
 * @since 0.1.0
 * @category checks
 */
export const abi = (facts: Facts): Judgement => {
  const layers = [
    { layer: "KHO", fact: facts.khoTree, string: abiString(value(facts.khoTree), "kho") },
    { layer: "LUO", fact: facts.luoState, string: abiString(value(facts.luoState), "luo") }
  ]
  const told = layers.flatMap(({ layer, string }) => (string === undefined ? [] : [`${layer} writes ${string}`]))
  const missing = layers.filter(({ string }) => string === undefined)
  // No interface tells the handlers' strings: they are written when a file is (luo_file_freeze in kernel/liveupdate/luo_file.c).
  const handlers = "the kernel does not tell those of its handlers"
  if (missing.length === 0) return ok(`${told.join(", ")}; ${handlers}`)
  const why = missing.map(
    ({ layer, fact }) => `${layer}'s is unknown: ${fact._tag === "known" ? "it carries none" : reasonOf(fact)}`
  )
  return unknown([...told, ...why, handlers].join("; "), toSeeDebugfs(facts))
}

const describeAnswer = (answer: Answer): string =>
  ({ yes: "handler", no: "no handler", unknown: "not known" })[answer.answer]

/**
 * Guest RAM is a memfd: that handler has to be there. What else a kernel can preserve is said, and nothing is missed.
 *
 * @since 0.1.0
 * @category checks
 */
export const handlers = ({ capabilities, root }: Facts): Judgement => {
  if (capabilities._tag !== "known")
    return unknown(
      `the kernel could not be asked: ${reasonOf(capabilities)}`,
      root ? "See the other checks; run agent doctor again when they are ok" : "Run it as root"
    )
  const { preserves, refusesTwice } = capabilities.value
  const others = [
    `iommufd: ${describeAnswer(preserves.iommufd)}`,
    `VFIO: ${describeAnswer(preserves.vfio)}`,
    `KVM VM: ${describeAnswer(preserves.kvm_vm)}`,
    `guest_memfd: ${describeAnswer(preserves.guest_memfd)}`
  ].join(", ")
  const { memfd } = preserves
  if (memfd.answer === "no")
    return fail(`no handler for memfds, which guest RAM is (${others})`, "Boot a kernel with CONFIG_LIVEUPDATE_MEMFD=y")
  if (memfd.answer === "unknown")
    return unknown(
      `whether memfds can be preserved is not known: ${memfd.reason}`,
      "Look for the reason in the kernel's log: dmesg"
    )
  return refusesTwice.answer === "no"
    ? warn(
        `memfd: handler, but the kernel preserves a file twice if it is told to (${others})`,
        "Let nobody but the agent preserve guest RAM, or use Linux 7.1 or later"
      )
    : ok(`memfd: handler (${others})`)
}
