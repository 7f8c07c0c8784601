/**
 * Whether there is memory enough, and whether guest RAM is in huge folios.
 *
 * @since 0.1.0
 */
import { type Facts, reasonOf, value } from "./Facts.ts"
import { fail, type Judgement, ok, unknown, warn } from "./Finding.ts"

const MIB = 1 << 20
const PAGE = 4096

/** Bytes of `struct memfd_luo_folio_ser` (`include/linux/kho/abi/memfd.h`): one for each folio, and a folio may be a single page. */
const FOLIO_RECORD = 16

const mib = (bytes: number): string => `${Math.ceil(bytes / MIB)} MiB`

/**
 * What a live update takes that isn't taken yet, and by what. An estimate from above for the guests' share,
 * as folios may be larger than a page; what VMMs write as device state, a few MiB each, is left out:
 * - preserving fills the holes of a memfd (`memfd_luo_preserve_folios` in `mm/memfd_luo.c`), so RAM that a guest never touched
 *   is allocated, and what is preserved is listed, folio by folio;
 * - the next kernel's image is read into memory and copied to where it will run (`kernel/kexec_file.c`); the running kernel's
 *   image has to stand for it, as nobody has named the next one;
 * - Node and its start-up snapshot are copied into memfds, if the first process starts them from there (`CarriedAgent.ts`).
 */
const needs = (facts: Facts): ReadonlyArray<{ readonly what: string; readonly bytes: number }> => {
  const guests = value(facts.guests) ?? []
  const sum = (of: (guest: (typeof guests)[number]) => number) =>
    guests.reduce((total, guest) => total + Math.max(0, of(guest)), 0)
  const carried = facts.firstProcessMark._tag === "known"
  return [
    { what: "guest RAM that no guest has touched yet", bytes: sum((_) => _.memoryBytes - _.allocatedBytes) },
    { what: "lists of its pages", bytes: sum((_) => (_.memoryBytes / PAGE) * FOLIO_RECORD) },
    { what: "the next kernel", bytes: 2 * (value(facts.imageBytes) ?? 0) },
    {
      what: "Node, sent along",
      bytes: carried ? (value(facts.nodeBytes) ?? 0) + (value(facts.snapshotBytes) ?? 0) : 0
    }
  ].filter(({ bytes }) => bytes > 0)
}

/**
 * Bytes that are available, as /proc/meminfo has them: `MemAvailable` is the kernel's own estimate (`si_mem_available` in
 * `mm/show_mem.c`).
 *
 * @since 0.1.0
 * @category accessors
 */
export const availableBytes = (meminfo: string): number | undefined => {
  const kib = /^MemAvailable:\s*(\d+) kB$/m.exec(meminfo)?.[1]
  return kib === undefined ? undefined : Number(kib) * 1024
}

/**
 * @since 0.1.0
 * @category checks
 */
export const memory = (facts: Facts): Judgement => {
  const available = availableBytes(value(facts.meminfo) ?? "")
  if (available === undefined)
    return unknown(
      `the memory that is free is not known: ${facts.meminfo._tag === "known" ? "/proc/meminfo has no MemAvailable" : reasonOf(facts.meminfo)}`,
      "See: free -m"
    )
  const list = needs(facts)
  const needed = list.reduce((total, { bytes }) => total + bytes, 0)
  const sum = list.map(({ what, bytes }) => `${mib(bytes)} ${what}`).join(", ")
  const missing = facts.imageBytes._tag === "known" ? "" : "; the size of a kernel's image is not known"
  const detail = `${mib(available)} are available, a live update takes ${mib(needed)}${sum === "" ? "" : ` (${sum})`}${missing}`
  if (available < needed) return fail(detail, "Free memory, or stop VMs: agent vm stop ID")
  return facts.guests._tag === "known"
    ? ok(detail)
    : unknown(`${detail}, and what guests take is not known: ${reasonOf(facts.guests)}`, "See: agent vm list")
}

/**
 * Preserving and retrieving cost per folio. `shmem_enabled` decides about memfds: `always`, `within_size` and `force` give huge ones,
 * `advise` does to a VMM that asks, as QEMU does (`mm/huge_memory.c`, `Documentation/admin-guide/mm/transhuge.rst`).
 *
 * @since 0.1.0
 * @category checks
 */
export const hugePages = ({ hugePages: fact }: Facts): Judgement => {
  if (fact._tag === "unknown")
    return unknown(`whether guest RAM is in huge pages is not known: ${fact.reason}`, "Run it as root")
  const setting = fact._tag === "known" ? /\[(\w+)\]/.exec(fact.value)?.[1] : undefined
  if (setting !== undefined && !["never", "deny"].includes(setting)) return ok(`huge pages for memfds: ${setting}`)
  return warn(
    fact._tag === "absent"
      ? `guest RAM is in pages of 4 KiB: ${reasonOf(fact)}`
      : `huge pages for memfds: ${setting ?? `"${fact.value}"`}: preserving guest RAM takes many times longer`,
    fact._tag === "absent"
      ? "Boot a kernel with CONFIG_TRANSPARENT_HUGEPAGE=y, or accept a longer live update"
      : "Boot with transparent_hugepage_shmem=advise; VMs that are started after it profit"
  )
}
