/**
 * Between two releases of Linux, there and back: 7.2 → 7.3 → 7.2 → 7.3, Debian's sources of both. A guest with two disks counts
 * through all of it.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestHost from "../e2e/TestHost.ts"
import * as Guest from "./Guest.ts"
import * as Jump from "./Jump.ts"

const guest: Guest.Guest = { id: "web-1", disks: Guest.twoDisks }

const seriesOf = (release: string) => /^\d+\.\d+/.exec(release)?.[0]

/** The host's image of a kernel of this series. */
const imageOf = (series: string) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const [image] = (yield* host.output("sh", "-c", `ls /boot/vmlinuz-${series}.*`)).split("\n")
    return image ?? assert.fail(`no kernel ${series}`)
  })

layer(TestHost.layer("releases", { flavour: "older" }), { excludeTestServices: true, timeout: "20 minutes" })(
  "live updates between releases",
  (it) => {
    it.effect("start: a guest with two disks counts on a host with the older release", () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        assert.strictEqual(seriesOf(yield* host.release), "7.2")
        yield* Guest.start([guest])
      })
    )

    for (const [index, [from, to]] of [
      ["7.2", "7.3"],
      ["7.3", "7.2"],
      ["7.2", "7.3"]
    ].entries())
      it.effect(`${from} → ${to}, live update ${index + 1}`, () =>
        Effect.gen(function* () {
          const jump = yield* Jump.to(yield* imageOf(to ?? ""), [guest.id])
          assert.deepStrictEqual([jump.from, jump.to].map(seriesOf), [from, to])
          assert.deepStrictEqual([jump.kexecs, jump.liveUpdates], [index + 1, index + 1])
        })
      )

    it.effect("the guest has lost no tick, and no byte of its memory", () => Guest.assertUnharmed(guest))

    it.effect("the plug is pulled: both disks are whole, and hold every record that the guest has told of", () =>
      Guest.killAndCheckDisks(guest)
    )
  }
)
