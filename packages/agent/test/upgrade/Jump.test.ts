import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Kexec } from "@liveupdate/sdk/Kexec"
import { KexecNotLoaded } from "@liveupdate/sdk/LiveUpdateError"
import * as Effect from "effect/Effect"
import type { Carrying } from "../../src/upgrade/Carrying.ts"
import * as Jump from "../../src/upgrade/phases/Jump.ts"
import * as RunLog from "../../src/upgrade/RunLog.ts"
import * as Temporary from "../Temporary.ts"

const index = { session: "liveupdate-index", fd: -1 }

const refusal = new KexecNotLoaded({ operation: "kexec.jump", errno: "EINVAL" })

describe("Jump", () => {
  it.scopedLive("one that is refused tells the operator's programs to take back what they did for it", () =>
    Effect.gen(function* () {
      const directory = yield* Temporary.directory
      const said = join(directory, "said")
      const hook = join(directory, "hook")
      Fs.writeFileSync(hook, `#!/bin/sh\necho "$LIVEUPDATE_HOOK $LIVEUPDATE_ACTION" >>${said}\n`, { mode: 0o755 })
      const log = yield* RunLog.open({ run: "r", directory })
      const carrying: Carrying = {
        options: { vms: "all", kernel: "/k", commandLine: "" },
        log,
        hooks: { "pre-jump": [hook] },
        image: { path: "/k", state: "" },
        vms: new Map()
      }
      const error = yield* Effect.flip(Jump.run(carrying, index, Effect.succeed({}))).pipe(
        Effect.provideService(Kexec, {
          load: () => Effect.void,
          isLoaded: Effect.succeed(false),
          unload: Effect.void,
          jump: Effect.fail(refusal)
        })
      )
      assert.strictEqual(error, refusal)
      assert.strictEqual(Fs.readFileSync(said, "utf8"), "pre-jump do\npre-jump undo\n")
    })
  )
})
