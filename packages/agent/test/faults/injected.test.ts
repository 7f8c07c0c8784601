/** All faults that the kernel itself makes; some of them: npm test. */
import { injected, suite } from "./Injected.ts"

suite("injected", injected)
