/**
 * A disk of the guest of packages/qemu-host/guest/init.c: an image on the host, with a file system to which the guest appends records.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as GuestConsole from "./GuestConsole.ts"
import * as TestHost from "./TestHost.ts"

/** Makes an empty one. */
export const make = (image: string) =>
  Effect.flatMap(TestHost.TestHost, (host) =>
    host.output("sh", "-ec", `mkdir -p $(dirname ${image}); truncate -s 32M ${image}; mkfs.ext4 -q ${image}`)
  )

/** The plug was pulled: the file system is whole. */
export const assertConsistent = (image: string) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    // Plays the journal back and repairs nothing, as a mount would.
    const replay = yield* host.inside("fsck.ext4", "-y", "-E", "journal_only", image)
    assert.include([0, 1], replay.code, `${image}: ${replay.stdout}${replay.stderr}`)
    const fsck = yield* host.inside("fsck.ext4", "-fn", image)
    assert.strictEqual(fsck.code, 0, `${image}: ${fsck.stdout}${fsck.stderr}`)
  })

/** The same, and holds every record that the guest has told of. */
export const assertWhole = (image: string, told: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    assert.isAbove(told.length, 0)
    assert.deepStrictEqual(GuestConsole.gaps(told), [])
    yield* assertConsistent(image)
    const file = yield* host.output("debugfs", "-R", "cat /records", image)
    const written = file.split("\n").map((line) => Number(/^seq (\d+) tick \d+$/.exec(line)?.[1] ?? Number.NaN))
    assert.strictEqual(written[0], 1)
    assert.deepStrictEqual(GuestConsole.gaps(written), [])
    assert.isAtLeast(written.at(-1) ?? 0, told.at(-1) ?? Number.NaN)
  })
