/**
 * What the kernel of a host had to say that it shouldn't have: warnings and worse, and what KHO's own checks find on the flavour that has
 * them (`docs/test-kernel.md`).
 */
import * as Effect from "effect/Effect"

type Output = (...argv: readonly [string, ...Array<string>]) => Effect.Effect<string>

export const complaints = (output: Output) =>
  Effect.map(output("sh", "-c", "dmesg | grep -E 'WARNING:|BUG:|Oops:|KHO: .*(fail|corrupt|invalid)'; true"), (lines) =>
    lines.split("\n").filter((line) => line !== "")
  )
