import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as OnlyRoot from "../../src/upgrade/OnlyRoot.ts"
import * as Temporary from "../Temporary.ts"

describe("OnlyRoot", () => {
  it("it has to be root's, or of the one who runs the agent", () => {
    const weakness = (uid: number, self: number) => OnlyRoot.weaknessOf("a", { uid, mode: 0o100644 }, "content", self)
    assert.isUndefined(weakness(0, 0))
    assert.isUndefined(weakness(0, 1000))
    assert.isUndefined(weakness(1000, 1000))
    assert.deepStrictEqual(weakness(1000, 0), {
      culprit: "a",
      reason: "belongs to the user 1000",
      next: "chown root a"
    })
    assert.isDefined(weakness(1001, 1000))
  })

  it("a sticky directory leads safely to a thing, and lets others add to it", () => {
    const weakness = (role: OnlyRoot.Role) => OnlyRoot.weaknessOf("a", { uid: 0, mode: 0o41777 }, role, 0)
    assert.isUndefined(weakness("way"))
    assert.deepStrictEqual(weakness("content"), {
      culprit: "a",
      reason: "has the mode 1777",
      next: "chmod go-w a"
    })
  })

  it.scoped("every directory that a link leads through can replace what is at its end", () =>
    Effect.gen(function* () {
      const root = yield* Temporary.directory
      const make = (name: string) => {
        const path = join(root, name)
        Fs.mkdirSync(path)
        Fs.chmodSync(path, 0o755)
        return path
      }
      const [first, second, real] = [make("first"), make("second"), make("real")]
      Fs.writeFileSync(join(real, "file"), "", { mode: 0o644 })
      Fs.symlinkSync("../real", join(second, "directory"))
      Fs.symlinkSync(join(second, "directory", ".", "file"), join(first, "link"))
      const path = join(first, "link")
      assert.isUndefined(OnlyRoot.weakness(path))
      for (const directory of [first, second, real]) {
        Fs.chmodSync(directory, 0o777)
        assert.strictEqual(OnlyRoot.weakness(path)?.culprit, directory)
        Fs.chmodSync(directory, 0o755)
      }
      Fs.chmodSync(join(real, "file"), 0o664)
      // The way to it is named by what was asked for.
      assert.deepStrictEqual(OnlyRoot.weakness(path), {
        culprit: path,
        reason: "has the mode 0664",
        next: `chmod go-w ${path}`
      })
    })
  )

  it("throws when there is nothing to look at", () => {
    assert.throws(() => OnlyRoot.weakness("/nowhere/at/all"), /ENOENT/)
  })
})
