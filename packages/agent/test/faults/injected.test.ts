/** Faults that the kernel itself makes, in the callbacks of its handlers: npm run faults. */
import { injected, suite } from "./Injected.ts"

suite("injected", injected)
