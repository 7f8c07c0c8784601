/** The guests of these tests: what they are started from, and how it is seen that they are unharmed. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as GuestConsole from "../e2e/GuestConsole.ts"
import * as GuestDisk from "../e2e/GuestDisk.ts"
import * as TestHost from "../e2e/TestHost.ts"

export interface Guest {
  readonly id: string
  /** Images on the host, by the guest's name for the disk. */
  readonly disks: Readonly<Record<string, string>>
}

export const twoDisks = { vda: "/var/lib/e2e/vda.img", vdb: "/var/lib/e2e/vdb.img" } as const

/** Starts them; returns when each of them counts. */
export const start = (guests: ReadonlyArray<Guest>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    for (const { id, disks } of guests) {
      yield* Effect.forEach(Object.values(disks), GuestDisk.make)
      yield* host.runVm({
        id,
        memory: "96M",
        ...TestHost.demoGuest,
        // What guests compute, the agent waits for: a tick a second finds every gap as well.
        cmdline: TestHost.guestCommandLine("4M", 1000),
        disks: Object.values(disks).map((path) => ({ path, format: "raw" }))
      })
    }
    for (const { id, disks } of guests) {
      const seen = yield* host.waitForTick(id, 5)
      assert.deepStrictEqual(Object.keys(seen.records), Object.keys(disks))
    }
  })

/** It has booted once, counts, and has lost no tick and no byte of its memory. */
export const assertUnharmed = ({ id }: Guest) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const passes = (seen: GuestConsole.GuestConsole) => seen.verdicts.filter(({ whole }) => whole).length
    const sofar = passes(yield* host.console(id))
    // The second verdict from here on is on a pass that began after the last jump.
    const seen = yield* host.waitFor(id, "a pass over the pattern", (seen) => passes(seen) >= sofar + 2)
    GuestConsole.assertUnharmed(seen)
    assert.strictEqual(seen.ticks[0]?.number, 1)
    const backwards = seen.ticks.filter(({ up }, index) => up <= (seen.ticks[index - 1]?.up ?? -1))
    assert.deepStrictEqual(backwards, [])
    const broken = seen.verdicts.filter(({ bad }) => bad !== 0)
    assert.deepStrictEqual(broken, [])
    assert.deepStrictEqual(seen.complaints, [])
  })

/** Ends it without a word, as a power cut would; its disks are whole, and hold every record that it has told of. */
export const killAndCheckDisks = ({ id, disks }: Guest) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const said = yield* host.agent("vm", "stop", "--timeout", "0", id)
    assert.strictEqual(said.code, 0, said.stderr)
    const { records } = yield* host.console(id)
    for (const [disk, image] of Object.entries(disks)) yield* GuestDisk.assertWhole(image, records[disk] ?? [])
  })
