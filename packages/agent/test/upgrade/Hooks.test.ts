import * as Fs from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ExitCode from "../../src/cli/ExitCode.ts"
import * as Hooks from "../../src/upgrade/Hooks.ts"
import * as Temporary from "../Temporary.ts"

const put = (path: string, script: string, mode = 0o755) =>
  Effect.sync(() => {
    Fs.mkdirSync(dirname(path), { recursive: true })
    Fs.writeFileSync(path, `#!/bin/sh\n${script}\n`)
    Fs.chmodSync(path, mode)
  })

const about: Hooks.About = { run: "r", vm: "a", vmmPid: 7 }

describe("Hooks", () => {
  it.scopedLive("each hook's executables, in the order of their names, are told what it is about", () =>
    Effect.gen(function* () {
      const root = yield* Temporary.directory
      const said = join(root, "said")
      const say = `echo "$(basename $0) $LIVEUPDATE_HOOK $LIVEUPDATE_ACTION $LIVEUPDATE_RUN $LIVEUPDATE_VM $LIVEUPDATE_VMM_PID" >>${said}`
      const hooks = join(root, "hooks")
      for (const name of ["20-second", "10-first"]) yield* put(join(hooks, "pre-pause", name), say)
      const found = yield* Hooks.find(hooks)
      assert.deepStrictEqual(found.problems, [])
      yield* Hooks.run(found.hooks, "pre-pause", about)
      yield* Hooks.run(found.hooks, "pre-resume", about)
      yield* Hooks.undo(found.hooks, "pre-pause", { run: "r" })
      assert.deepStrictEqual(Fs.readFileSync(said, "utf8").slice(0, -1).split("\n"), [
        "10-first pre-pause do r a 7",
        "20-second pre-pause do r a 7",
        "20-second pre-pause undo r  ",
        "10-first pre-pause undo r  "
      ])
    })
  )

  it.scopedLive("the first one that fails ends it with its last words; an undo goes on", () =>
    Effect.gen(function* () {
      const root = yield* Temporary.directory
      const said = join(root, "said")
      yield* put(join(root, "post-save", "1"), `echo "the array is busy" >&2; exit 3`)
      yield* put(join(root, "post-save", "2"), `echo 2 >>${said}; exit 1`)
      yield* put(join(root, "post-save", "3"), `echo 3 >>${said}`)
      const { hooks } = yield* Hooks.find(root)
      const error = yield* Effect.flip(Hooks.run(hooks, "post-save", about))
      assert.match(
        error.message,
        /^The hook post-save of VM a failed: .*\/1 ended with exit code 3: the array is busy\.$/
      )
      assert.isFalse(Fs.existsSync(said))
      yield* Hooks.undo(hooks, "post-save", about)
      assert.strictEqual(Fs.readFileSync(said, "utf8"), "3\n2\n")
    })
  )

  it.scopedLive("what would never run is a problem", () =>
    Effect.gen(function* () {
      const root = yield* Temporary.directory
      yield* put(join(root, "pre-puase", "1"), "true")
      yield* put(join(root, "pre-jump", "1"), "true", 0o644)
      const { hooks, problems } = yield* Hooks.find(root)
      assert.strictEqual(problems.length, 2)
      assert.match(problems[0] ?? "", /pre-puase is no hook: there are pre-pause, /)
      assert.match(problems[1] ?? "", /pre-jump\/1 can't be executed/)
      assert.deepStrictEqual(Object.keys(hooks), ["pre-jump"])
    })
  )

  it.scoped("what others than root may change is refused, each culprit told once, with what to do", () =>
    Effect.gen(function* () {
      const root = yield* Temporary.directory
      const directory = join(root, "pre-jump")
      for (const name of ["1", "2"]) yield* put(join(directory, name), "true")
      const culprits = Effect.map(Hooks.find(root), ({ problems, weaknesses }) => {
        assert.isEmpty(problems)
        return weaknesses.map(({ culprit }) => culprit)
      })
      for (const path of [root, directory]) Fs.chmodSync(path, 0o755)
      assert.isEmpty(yield* culprits)
      // Sticky or not: whoever may add a file to it has a hook.
      for (const path of [join(directory, "2"), directory, root])
        for (const mode of [0o775, 0o757, 0o1777]) {
          Fs.chmodSync(path, mode)
          assert.deepStrictEqual(yield* culprits, [path])
          Fs.chmodSync(path, 0o755)
        }
      const elsewhere = join(root, "elsewhere")
      yield* put(join(elsewhere, "program"), "true")
      Fs.symlinkSync(join(elsewhere, "program"), join(directory, "3"))
      Fs.chmodSync(elsewhere, 0o777)
      Fs.chmodSync(join(directory, "1"), 0o757)
      const { weaknesses } = yield* Hooks.find(root)
      const [refusal, ...more] = Hooks.refusals({ hooks: {}, problems: [], weaknesses })
      assert.isEmpty(more)
      assert(refusal?._tag === "HooksUnsafe")
      assert.strictEqual(ExitCode.fromError(refusal), 5)
      assert.strictEqual(
        refusal.message,
        "The hooks are run as root, and others than root may change them. " +
          `${directory}/1 has the mode 0757: chmod go-w ${directory}/1; ` +
          `${elsewhere} has the mode 0777: chmod go-w ${elsewhere}`
      )
    })
  )

  it.effect("no directory: no hooks, no problems", () =>
    Effect.map(Hooks.find("/nowhere/hooks"), (found) => {
      assert.deepStrictEqual(found, { hooks: {}, problems: [], weaknesses: [] })
      assert.isEmpty(Hooks.refusals(found))
    })
  )

  it("checkpoints, as a test names them", () =>
    assert.deepStrictEqual(Hooks.checkpoints("before:pause=/a,after:pause=/b,before:pause=/c"), {
      "before:pause": ["/a", "/c"],
      "after:pause": ["/b"]
    }))
})
