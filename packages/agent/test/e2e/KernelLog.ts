/**
 * What the kernel of a host had to say that it shouldn't have: warnings and worse, what KHO's own checks find on the flavour that has
 * them, and memory that nobody knows of any more (`docs/test-kernel.md`).
 */
import * as Effect from "effect/Effect"

/** For the command line of a host whose kernel is to look for memory that nobody knows of any more. */
export const append = "kmemleak=on"

type Output = (...argv: readonly [string, ...Array<string>]) => Effect.Effect<string>

export const warnings = (output: Output) =>
  Effect.map(output("sh", "-c", "dmesg | grep -E 'WARNING:|BUG:|Oops:|KHO: .*(fail|corrupt|invalid)'; true"), (lines) =>
    lines.split("\n").filter((line) => line !== "")
  )

/** On every boot, before the first process: 8 bytes of the first root's mount options (mnt_init in fs/namespace.c). */
const isMainlines = (leak: string): boolean => leak.includes("size 8)") && leak.includes('comm "swapper/0", pid 0')

/**
 * An object that is younger than a second isn't looked at (MSECS_MIN_AGE, see hooks.patch), and one has to be unknown twice, its content
 * the same.
 */
const leaks = (output: Output) =>
  Effect.map(
    output("sh", "-ec", "cd /sys/kernel/debug; sleep 1; echo scan >kmemleak; echo scan >kmemleak; cat kmemleak"),
    (text) => text.split(/(?=unreferenced object)/).filter((leak) => leak.trim() !== "" && !isMainlines(leak))
  )

/** Of a kernel that was started with `append`. */
export const complaints = (output: Output) =>
  Effect.zipWith(warnings(output), leaks(output), (said, lost) => [...said, ...lost])
