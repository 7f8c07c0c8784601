/**
 * What the kernel of a host had to say that it shouldn't have, on the flavour that looks for it (`docs/test-kernel.md`).
 */
import * as Effect from "effect/Effect"

/** For the command line of a host whose kernel is to look for memory that nobody knows of any more. */
export const append = "kmemleak=on"

type Output = (...argv: readonly [string, ...Array<string>]) => Effect.Effect<string>

/** Warnings and worse, and what KHO's own checks say (`CONFIG_KEXEC_HANDOVER_DEBUG`). */
export const warnings = (output: Output) =>
  Effect.map(
    output("sh", "-c", "dmesg | grep -E 'WARNING|BUG|Oops|Call Trace|KHO: .*(fail|corrupt|invalid)'; true"),
    (lines) => lines.split("\n").filter((line) => line !== "")
  )

/**
 * An object that is younger than five seconds isn't looked at (MSECS_MIN_AGE in mm/kmemleak.c), and one has to be unknown twice.
 * Left out is mainline's own leak, on every boot: the mount options of the first root (mnt_init in fs/namespace.c), 8 bytes.
 */
const leaks = (output: Output) =>
  Effect.map(
    output("sh", "-ec", "cd /sys/kernel/debug; for scan in 1 2; do sleep 5; echo scan >kmemleak; done; cat kmemleak"),
    (text) => text.split(/(?=unreferenced object)/).filter((leak) => leak.trim() !== "" && !leak.includes(" mnt_init+"))
  )

export const complaints = (output: Output) =>
  Effect.zipWith(warnings(output), leaks(output), (said, lost) => [...said, ...lost])
