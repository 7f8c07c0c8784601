import { assert, describe, it } from "@effect/vitest"
import * as CommandLine from "../../src/upgrade/CommandLine.ts"

describe("CommandLine", () => {
  const cases: ReadonlyArray<readonly [string, boolean | undefined]> = [
    ["root=/dev/vda liveupdate=on quiet", true],
    ["liveupdate=1", true],
    ["liveupdate=Y", true],
    ["liveupdate=true", true],
    ["liveupdate=off", false],
    ["liveupdate=0", false],
    ["liveupdate=no", false],
    ["quiet", undefined],
    ["", undefined],
    // A malformed early option: the kernel says so, and leaves it as it was.
    ["liveupdate", undefined],
    ["liveupdate=", undefined],
    ["liveupdate=maybe", undefined],
    ["noliveupdate=on liveupdate.x=on", undefined],
    ["liveupdate=on liveupdate=off", false],
    ["liveupdate=off liveupdate=on", true],
    ["liveupdate=on liveupdate=", true]
  ]
  for (const [commandLine, said] of cases)
    it(`"${commandLine}" says ${said}`, () => assert.strictEqual(CommandLine.switchOf(commandLine, "liveupdate"), said))
})
