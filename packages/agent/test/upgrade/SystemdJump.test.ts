import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SystemdJump from "../../src/upgrade/SystemdJump.ts"
import * as StandIns from "../StandIns.ts"
import * as Temporary from "../Temporary.ts"

const unit = {
  LoadState: "loaded",
  UnitFileState: "enabled",
  FileDescriptorStoreMax: "4",
  FileDescriptorStorePreserve: "yes",
  Version: "262 (262-1)"
}

/** A `systemctl` that answers with these properties, and leaves what it was told in `told`. */
const fakeSystemctl = (properties: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const directory = yield* Temporary.directory
    const told = join(directory, "told")
    const answer = Object.entries(properties)
      .map(([name, value]) => `${name}=${value}`)
      .join("\\n")
    Fs.writeFileSync(told, "")
    yield* StandIns.inPath(directory, {
      systemctl: `#!/bin/sh\necho "$*" >>${told}\ncase $1 in show) printf '${answer}\\n' ;; kexec) echo "Unit kexec.target is masked." >&2; exit 1 ;; esac\n`
    })
    return Effect.sync(() => Fs.readFileSync(told, "utf8").trim().split("\n"))
  })

const jump = SystemdJump.make({ told: Effect.never, end: Effect.never, runtime: "/" })

describe("SystemdJump", () => {
  it.scopedLive("a host that systemd doesn't run is told of the other way", () =>
    Effect.gen(function* () {
      const elsewhere = SystemdJump.make({ told: Effect.never, end: Effect.never, runtime: "/nowhere" })
      const error = yield* Effect.flip(elsewhere.check(1))
      assert.strictEqual(error.message, "This host isn't run by systemd. Jump without it: --jump direct")
    })
  )

  for (const [what, properties, vms, message] of [
    ["an older systemd", { Version: "257 (257.8-1)" }, 1, /systemd 257 .*doesn't hand anything over.*--jump direct/],
    ["a unit that isn't there", { LoadState: "not-found" }, 1, /is not-found to systemd\. Install the unit/],
    ["a unit that nobody starts", { UnitFileState: "disabled" }, 1, /systemctl enable liveupdate-resume\.service/],
    ["a unit without a store that lives on", { FileDescriptorStorePreserve: "restart" }, 1, /Preserve=yes/],
    ["more VMs than there is room for", {}, 4, /has room for 4 sessions \(FileDescriptorStoreMax=\), 5 are needed/]
  ] as const)
    it.scopedLive(`refuses ${what}`, () =>
      Effect.gen(function* () {
        yield* fakeSystemctl({ ...unit, ...properties })
        assert.match((yield* Effect.flip(jump.check(vms))).message, message)
      })
    )

  it.scopedLive("has nothing against a host that can", () =>
    Effect.gen(function* () {
      yield* fakeSystemctl(unit)
      yield* jump.check(3)
    })
  )

  it.scopedLive("without a process that stands for the unit nothing is stored, and nobody goes", () =>
    Effect.gen(function* () {
      const told = yield* fakeSystemctl({ ...unit, MainPID: "0" })
      const error = yield* Effect.flip(jump.jump("r", []))
      assert.match(error.message, /systemctl start liveupdate-resume\.service failed: its process has ended/)
      assert.deepStrictEqual(yield* told, ["show liveupdate-resume.service --property=MainPID", "cancel"])
    })
  )

  it.scopedLive("told to end where nothing goes on, it says so; a host that stays is called back", () =>
    Effect.gen(function* () {
      const told = yield* fakeSystemctl(unit)
      const stopped = SystemdJump.leave({ told: Effect.void, end: Effect.never, patience: Duration.minutes(1) })
      assert.match((yield* Effect.flip(stopped)).message, /the agent was told to end before/)
      const stays = SystemdJump.leave({ told: Effect.never, end: Effect.never, patience: Duration.millis(1) })
      const error = yield* Effect.flip(stays)
      assert.strictEqual(error._tag, "HostStayed")
      assert.match(error.message, /did not go within 1ms.*systemctl list-jobs/)
      assert.include((yield* told).join(), "list-jobs")
    })
  )
})
