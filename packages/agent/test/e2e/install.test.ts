/**
 * docs/install.md, done as it stands there: on a machine that has a LUO kernel and no agent, line by line, through the kexec and back. What each
 * command prints and how it ends is what the page says.
 */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Walkthrough from "../Walkthrough.ts"
import * as GuestConsole from "./GuestConsole.ts"
import * as TestHost from "./TestHost.ts"

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../../../${path}`, import.meta.url)), "utf8")

const blocks = Walkthrough.parse(read("docs/install.md"))

/** As in one shell: what is exported stays, until the kernel under it goes. */
const shell = `
cd; exec 2>&1
export HOME=/root DEBIAN_FRONTEND=noninteractive
! test -e /run/walkthrough || . /run/walkthrough
eval "$1"
code=$?
export -p >/run/walkthrough
exit $code`

const done = (step: Walkthrough.Step) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const { code, stdout } = yield* host.throughJump("bash", "-c", shell, "bash", step.command)
    const what = `docs/install.md:${step.line}: ${step.command}\n${stdout}`
    const end: Walkthrough.End = code === undefined ? { _tag: "connection closed" } : { _tag: "exited", code }
    assert.deepStrictEqual(end, step.end, what)
    if (!Walkthrough.isPrinted(step, stdout))
      assert.strictEqual(stdout, step.prints.join("\n"), `what it prints is not what the page says: ${what}`)
  })

/** The rows of docs/security.md: what lies where on a host, with which mode. `ID`, `RUN` and `*` stand for any name. */
const files = [...read("docs/security.md").matchAll(/^\| `(\/(?:etc|run|var)\/\S+)` +\| (0\d{3}) \|/gm)].map(
  ([, path = "", mode = ""]) => ({
    pattern: new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/\bID\b|\bRUN\b|\*/g, "[^/]+")}$`),
    mode
  })
)

/** Where the page's own part ends, and everything that the agent has made is still there. */
const undoing = blocks.findIndex(({ steps }) => steps.some(({ command }) => command.startsWith("apt-get purge")))

layer(TestHost.layer("install", { bare: true }), { excludeTestServices: true, timeout: "10 minutes" })(
  "docs/install.md",
  (it) => {
    it.effect("all of it is done here, but for what says why not", () =>
      Effect.sync(() => {
        assert.deepStrictEqual(
          blocks.flatMap(({ elsewhere }) => elsewhere ?? []),
          [
            "half an hour or more, and best on another machine",
            "the machine boots without a boot loader, and goes down",
            "the package comes from another machine"
          ]
        )
        assert.isAbove(undoing, 0)
      })
    )

    it.effect("the machine has no agent", () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const { code } = yield* host.inside("sh", "-c", "command -v agent || test -e /usr/lib/liveupdate")
        assert.strictEqual(code, 1)
      })
    )

    for (const [index, { elsewhere, line, steps }] of blocks.entries()) {
      if (elsewhere !== undefined) continue
      if (index === undoing) {
        it.effect("the guest has counted through the jump", () =>
          Effect.gen(function* () {
            const host = yield* TestHost.TestHost
            GuestConsole.assertUnharmed(yield* host.waitForTick("web-1"))
          })
        )
        it.effect("everything that is there now has the owner and the mode that docs/security.md says", () =>
          Effect.gen(function* () {
            const host = yield* TestHost.TestHost
            const found = yield* host.output(
              "sh",
              "-c",
              `for part in etc run var/lib var/cache; do
                find /$part/liveupdate -type d -printf '%p/ 0%m %U\n' -o ! -type l -printf '%p 0%m %U\n'
              done`
            )
            const wrong = found.split("\n").filter((line) => {
              const [path = "", mode, owner] = line.split(" ")
              const row = files.find(({ pattern }) => pattern.test(path))
              return row?.mode !== mode || owner !== "0"
            })
            assert.deepStrictEqual(wrong, [])
            for (const path of ["/run/liveupdate/vms/web-1/qmp.sock", "/var/lib/liveupdate/vms/web-1/console.log"])
              assert.include(found, path)
          })
        )
      }
      it.effect(`line ${line}: ${steps[0]?.command.split("\n")[0]}`, () =>
        Effect.forEach(steps, done, { discard: true })
      )
    }
  }
)
