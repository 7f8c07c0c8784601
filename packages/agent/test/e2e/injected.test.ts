/** Faults that the kernel itself makes, at the jump and after it; all of them: npm run faults. */
import { injected, suite } from "../faults/Injected.ts"

suite(
  "injected",
  injected.filter(({ phase }) => phase === "jump" || phase === "retrieve")
)
