/**
 * Whether the next kernel can take over what the running one leaves to it. Only what is proven fails: a kernel that can't be looked
 * into, or a running one that doesn't tell what it writes, is `unknown`.
 *
 * @since 0.1.0
 */
import * as CommandLine from "../CommandLine.ts"
import { type Fact, known, reasonOf, unknown as unknownFact, value } from "./Facts.ts"
import { type Finding, fail, type Judgement, ok, TargetCheck, unknown } from "./Finding.ts"
import { abiString } from "./KernelChecks.ts"
import { isBuiltIn } from "./KernelConfig.ts"
import type { TargetFacts } from "./TargetFacts.ts"

type Layer = "kho" | "luo" | "memfd"

type Contents = Extract<TargetFacts["contents"], { readonly _tag: "read" }>["value"]

const names = {
  kho: "kexec handover",
  luo: "live update",
  memfd: "handler for memfds, which guest RAM is"
} as const

const options = ["CONFIG_KEXEC_HANDOVER", "CONFIG_LIVEUPDATE", "CONFIG_LIVEUPDATE_MEMFD"] as const
const builtWithAll = `Take a kernel that was built with ${options.map((option) => `${option}=y`).join(", ")}`

const asFact = <A>(told: { answer: "known"; value: A } | { answer: "unknown"; reason: string }): Fact<A> =>
  told.answer === "known" ? known(told.value) : unknownFact(told.reason)

/** Of an image that was refused nothing else is worth saying. */
const image = ({ contents, kernel }: TargetFacts): Judgement => {
  if (contents._tag === "refused")
    return fail(contents.error.message.replace(` ${contents.error.next}`, ""), contents.error.next)
  const { compression, release } = contents.value
  if (release.answer === "unknown")
    return unknown(
      `${kernel}: ${release.reason}`,
      "Compress it with gzip, xz, zstd or lz4: others can't be looked into"
    )
  return ok(`Linux ${release.value} (${kernel}, ${compression === "none" ? "not compressed" : compression})`)
}

const has = (contents: Contents, layer: Layer): boolean =>
  contents.abi.answer === "known" && contents.abi.value[layer].length > 0

/**
 * The options without which a kernel throws away what it is handed: `kernel/liveupdate/Kconfig`. Whether kexec handover is on
 * without a word on the command line is one as well (`kho_enable` in `kernel/liveupdate/kexec_handover.c`).
 */
const config = ({ commandLine }: TargetFacts, contents: Contents): Judgement => {
  const built = asFact(contents.config)
  if (built._tag !== "known")
    return unknown(
      `the target's configuration is unknown: ${reasonOf(built)}`,
      "Build it with CONFIG_IKCONFIG=y, or look for CONFIG_LIVEUPDATE and CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT yourself"
    )
  const lacks = options.filter(
    // Linux 6.19 has the handler without an option of its own (memfd_luo.o in mm/Makefile).
    (option) => !isBuiltIn(built, option) && !(option === "CONFIG_LIVEUPDATE_MEMFD" && has(contents, "memfd"))
  )
  if (lacks.length > 0) return fail(`the target was built without ${lacks.join(", ")}`, builtWithAll)
  if (!isBuiltIn(built, "CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT") && CommandLine.switchOf(commandLine, "kho") !== true)
    return fail(
      "the target turns kexec handover on only where its command line says so, and it doesn't",
      "Add kho=on to the next kernel's command line (--cmdline)"
    )
  return ok("the target was built with KHO, LUO and the memfd handler")
}

/**
 * What this kernel writes: debugfs tells what it has written, of a handler only its image does (`luo_file_freeze` in
 * `kernel/liveupdate/luo_file.c` copies the string when it is too late to ask).
 */
const writes = (facts: TargetFacts, layer: Layer): Fact<ReadonlyArray<string>> => {
  const told = {
    kho: abiString(value(facts.khoTree), "kho"),
    luo: abiString(value(facts.luoState), "luo"),
    memfd: undefined
  }[layer]
  if (told !== undefined) return known([told])
  if (facts.running._tag !== "known") return facts.running
  const inImage = facts.running.value[layer]
  return inImage.length > 0 ? known(inImage) : unknownFact(`its image has no ${layer}-v… in it`)
}

/**
 * The strings have to be the same: a KHO that doesn't know the other's boots as if nothing had been handed over (`kho_populate` in
 * `kernel/liveupdate/kexec_handover.c`), a LUO panics (`luo_early_startup` in `kernel/liveupdate/luo_core.c`), and without the handler
 * that a file was written by no session can be read (`luo_file_deserialize` in `kernel/liveupdate/luo_file.c`).
 */
const abi =
  (layer: Layer) =>
  (facts: TargetFacts, contents: Contents): Judgement => {
    const written = writes(facts, layer)
    const ours = written._tag === "known" ? `this kernel writes ${written.value.join(" or ")}` : undefined
    if (contents.abi.answer === "unknown")
      return unknown(`what the target reads is unknown: ${contents.abi.reason}`, "See check target-image")
    const reads = contents.abi.value[layer]
    if (reads.length === 0)
      return fail(`the target has no ${names[layer]}: there is no ${layer}-v… in it`, builtWithAll)
    const theirs = `the target reads ${reads.join(", ")}`
    if (written._tag !== "known")
      return unknown(
        `${theirs}; what this kernel writes is unknown: ${reasonOf(written)}`,
        "Put the running kernel's image where its distribution has it, or compare include/linux/kho/abi of both sources"
      )
    return written.value.some((string) => reads.includes(string))
      ? ok(`${ours}, and ${theirs}`)
      : fail(
          `${ours}, but ${theirs}`,
          `Take a kernel that reads ${written.value.join(" or ")}, or stop the VMs and boot the target without a live update`
        )
  }

const otherHandlers = ["iommufd", "vfio", "kvm_vm", "guest_memfd"] as const

/**
 * Guests go along in memfds, but any program may have a session with a file of another kind, and the kernel doesn't list them: one file
 * whose handler the next kernel lacks, and it reads no session at all (`luo_session_deserialize` in `kernel/liveupdate/luo_session.c`).
 */
const handlers = ({ running }: TargetFacts, contents: Contents): Judgement => {
  if (contents.abi.answer === "unknown")
    return unknown(`what the target reads is unknown: ${contents.abi.reason}`, "See check target-image")
  if (running._tag !== "known")
    return unknown(
      `which other handlers this kernel has is unknown: ${reasonOf(running)}`,
      "Put the running kernel's image where its distribution has it"
    )
  const reads = contents.abi.value
  const written = otherHandlers.flatMap((layer) => running.value[layer].map((string) => ({ layer, string })))
  const missing = written.filter(({ layer, string }) => !reads[layer].includes(string)).map(({ string }) => string)
  if (missing.length > 0)
    return fail(
      `this kernel may hand over files as ${missing.join(", ")}, which the target doesn't read`,
      `Take a kernel that reads ${missing.join(", ")}, or stop the VMs and boot the target without a live update`
    )
  return ok(
    written.length === 0
      ? "this kernel has no other handlers"
      : `the target reads ${written.map(({ string }) => string).join(", ")}, too`
  )
}

const judges: {
  readonly [C in Exclude<TargetCheck, "target-image">]: (facts: TargetFacts, contents: Contents) => Judgement
} = {
  "target-config": config,
  "target-kho": abi("kho"),
  "target-luo": abi("luo"),
  "target-memfd": abi("memfd"),
  "target-handlers": handlers
}

/**
 * One finding for each check, in their order.
 *
 * @since 0.1.0
 * @category judgement
 */
export const judge = (facts: TargetFacts): ReadonlyArray<Finding> =>
  TargetCheck.literals.map((check) => {
    if (check === "target-image") return { check, ...image(facts) }
    return facts.contents._tag === "refused"
      ? { check, ...unknown("the image could not be read", "See check target-image") }
      : { check, ...judges[check](facts, facts.contents.value) }
  })
