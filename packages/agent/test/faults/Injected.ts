/**
 * Faults that the kernel itself makes, in the callbacks of its handlers (docs/test-kernel.md), in each phase that asks it for something: how the
 * live update ends is what the fault matrix promises.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CarriedAgent from "../../src/upgrade/CarriedAgent.ts"
import * as KernelLog from "../e2e/KernelLog.ts"
import * as TestHost from "../e2e/TestHost.ts"
import * as Cells from "./Cells.ts"
import * as Faults from "./Faults.ts"
import type * as Matrix from "./Matrix.ts"

const debugfs = "/sys/kernel/debug/liveupdate-fixture"
/** The kernel has made it. */
const felt = (op: string) => `dmesg | grep -q "liveupdate fixture: ${op} of file"`

/** As on a host whose first process starts nothing from memory: the second half isn't sent along, which takes seconds. */
const nothingCarried = `rm -f ${CarriedAgent.firstProcessMark}`
const carried = `: >${CarriedAgent.firstProcessMark}`

/** On this kernel, from the phase on: `NTH ERRNO MILLISECONDS`. What it did for the cell before it says no more. */
const here = (op: string, fault: string, carrying = nothingCarried): Partial<Faults.Made> => ({
  prepare: `dmesg --clear; ${carrying}`,
  at: `echo '${fault}' >${debugfs}/${op}`,
  remedy: `echo 0 >${debugfs}/${op}`,
  felt: felt(op)
})

/** On the next one, whose command line says so. */
const next = (faults: Readonly<Record<string, string>>): Partial<Faults.Made> => ({
  prepare: carried,
  options: [
    "--cmdline",
    `"$(sed 's/ liveupdate_fixture=[^ ]*//' /proc/cmdline) liveupdate_fixture=${Object.entries(faults)
      .map(([op, fault]) => `${op}:${fault}`)
      .join(",")}"`
  ],
  felt: Object.keys(faults).map(felt).join(" && ")
})

interface Injected {
  readonly fault: string
  readonly phase: Matrix.PhaseName
  readonly end: Matrix.End
  readonly made: Partial<Faults.Made>
}

/** What isn't the guests', such as the second half when it is sent along, may be left behind: so it is all files from the first on. */
const undoneOnes: ReadonlyArray<Injected> = [
  {
    fault: "no handler takes the guest's RAM",
    phase: "preserve-running",
    end: "undone",
    made: here("can_preserve", "1+ 2", carried)
  },
  {
    fault: "no memory to preserve it (ENOMEM)",
    phase: "preserve-running",
    end: "undone",
    made: here("preserve", "1+ 12")
  },
  {
    fault: "the guest's state can't be preserved (EIO)",
    phase: "preserve-state",
    end: "undone",
    made: here("preserve", "1+ 5")
  },
  {
    fault: "a file takes three seconds, and the phase has two",
    phase: "preserve-state",
    end: "undone",
    made: { ...here("preserve", "1 0 3000"), options: ["--deadline", "preserve-state=2"] }
  },
  { fault: "a file refuses to be frozen (EIO)", phase: "jump", end: "undone", made: here("freeze", "3 5") }
]

/** On a host where both guests count (`Cells.start`). */
const cell = ({ end, fault, made, phase }: Injected) => ({
  name: `${phase}: ${fault}: ${end}`,
  run: Effect.gen(function* () {
    const { output } = yield* TestHost.TestHost
    yield* Cells.attempt({
      phase,
      fault,
      end,
      made: Faults.complete(phase, made),
      nothingLeft: Cells.nothingOnRecord
    })
    assert.deepStrictEqual(yield* KernelLog.warnings(output), [])
  })
})

export const undone = undoneOnes.map(cell)

/** Both in one jump: neither keeps the other from being met. */
export const upgraded = cell({
  fault: "the first file isn't given back (EIO), and the session isn't finished at first (EBUSY)",
  phase: "finish",
  end: "upgraded",
  made: next({ retrieve: "1:5", can_finish: "1:16" })
})

/** A jump after which the host can't go through another one: for the end. Such a kernel keeps the memory of what it couldn't read. */
export const unreadable = cell({
  fault: "the next kernel has no handler of the name under which files are handed over",
  phase: "jump",
  end: "lost",
  made: {
    prepare: `dmesg --clear; ${nothingCarried}`,
    at: `echo 'memfd-v2 memfd-v9' >${debugfs}/abi`,
    felt: "dmesg | grep -q \"luo: No registered handler for compatible 'memfd-v9'\""
  }
})
