/**
 * Whoever works on a retrieved session may be killed at any point between its retrieval and its finish: the memory in it is
 * intact afterwards, byte for byte, and another process finishes it. On the real kernel, after a real jump.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ProgramBundle from "./ProgramBundle.ts"
import * as TestHost from "./TestHost.ts"

const seed = process.env["LIVEUPDATE_SEED"] ?? String(Math.floor(Math.random() * 1_000_000))

/** Where a process is killed; see programs/custody.ts. */
const points = [
  "retrieved",
  "asking-for-a-file",
  "file-retrieved",
  "asking-for-all",
  "all-retrieved",
  "read",
  "half-written",
  "written",
  "left",
  "before-finish"
] as const

const runs = (["itself", "outside"] as const).flatMap((who, round) =>
  points.map((point, index) => ({ point, who, session: `custody-${round * points.length + index}` }))
)

/** As the first test has left it on the host. */
const program = (...args: ReadonlyArray<string>) =>
  Effect.flatMap(TestHost.TestHost, (host) =>
    host.inside(...ProgramBundle.node, ProgramBundle.inside("custody"), args[0] ?? "", seed, ...args.slice(1))
  )

/** Ends as the victim does: 137 is SIGKILL. */
const killed = (session: string, point: string, who: string) =>
  who === "itself"
    ? program("victim", session, point, who)
    : Effect.flatMap(TestHost.TestHost, (host) =>
        host.inside(
          "sh",
          "-c",
          `says=$(mktemp -u); mkfifo "$says"
           "$@" >"$says" & pid=$!
           while read -r line; do [ "$line" = ready ] && kill -KILL $pid; done <"$says"
           rm "$says"; wait $pid`,
          "sh",
          ...ProgramBundle.node,
          ProgramBundle.inside("custody"),
          "victim",
          seed,
          session,
          point,
          who
        )
      )

/** How many of them there are on the host. */
const keepers = Effect.flatMap(TestHost.TestHost, (host) =>
  Effect.map(host.inside("pgrep", "-c", "-f", "^liveupdate-keeper"), ({ stdout }) => stdout.trim())
)

const machine = TestHost.layer("custody", { programs: ["custody"] })

layer(machine, { excludeTestServices: true, timeout: "20 minutes" })("custody", (it) => {
  it.effect(`start: 23 sessions with memory in them go through a jump (seed ${seed})`, () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      // systemd's own `agent resume` has the device for a moment.
      yield* host.booted
      const before = yield* host.bootId
      const kernel = yield* host.otherKernel
      const lost = yield* Effect.flip(Effect.sandbox(host.program("custody", "preserve", seed, kernel)))
      assert.include(String(lost), "runs a new kernel")
      assert.notStrictEqual(yield* host.bootId, before)
      yield* host.booted
    })
  )

  for (const { point, session, who } of runs)
    it.effect(`SIGKILL by ${who} at ${point}: ${session} is intact`, () =>
      Effect.gen(function* () {
        const victim = yield* killed(session, point, who)
        assert.strictEqual(victim.code, 137, `${victim.stdout}${victim.stderr}`)
        const survivor = yield* program("survivor", session, point)
        assert.strictEqual(survivor.code, 0, survivor.stderr)
        const { files, holders } = JSON.parse(survivor.stdout)
        assert.deepStrictEqual(holders, ["keeper"])
        assert.strictEqual(files.length, 2)
        for (const { bytes, intact } of files) {
          assert.isAbove(bytes, 0)
          assert.isTrue(intact)
        }
      })
    )

  it.effect("a session that nobody else holds is lost with its process: the kernel finishes it", () =>
    Effect.gen(function* () {
      const victim = yield* program("unheld", "custody-unheld")
      assert.strictEqual(victim.code, 137, victim.stderr)
      const survivor = yield* program("survivor", "custody-unheld", "all-retrieved")
      assert.match(JSON.parse(survivor.stdout).error, /custody-unheld/)
    })
  )

  it.effect("a managed file that another process has retrieved is known by its session's manifest", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const said = yield* host.inside(
        "sh",
        "-c",
        `says=$(mktemp -u); mkfifo "$says"
         node() { ${ProgramBundle.node.join(" ")} ${ProgramBundle.inside("custody")} "$@"; }
         node lend ${seed} >"$says" &
         read -r pid fd <"$says"; rm "$says"
         node claim ${seed} "$pid" "$fd"; code=$?
         kill -KILL "$pid"; wait; exit $code`
      )
      assert.strictEqual(said.code, 0, said.stderr)
      assert.deepStrictEqual(JSON.parse(said.stdout), {
        tag: "ManagedUntilFinish",
        holder: { session: "custody-described", token: "7", file: "ram" },
        finished: "Right"
      })
    })
  )

  it.effect("under systemd its store holds the session, and the service's next start finishes it", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const result = "/run/custody-store.json"
      const session = "custody:systemd ü"
      yield* host.output(
        "systemd-run",
        "--unit=custody-store",
        "--property=FileDescriptorStoreMax=4",
        "--property=Restart=on-failure",
        ...ProgramBundle.node,
        ProgramBundle.inside("custody"),
        "service",
        seed,
        session,
        result
      )
      yield* host.inside("timeout", "300", "sh", "-c", `until [ -s ${result} ]; do sleep 0.1; done`)
      const said = yield* host.inside("cat", result)
      assert.strictEqual(said.code, 0, (yield* host.inside("journalctl", "-u", "custody-store")).stdout)
      const { files, holders, stored } = JSON.parse(said.stdout)
      assert.deepStrictEqual(holders, ["systemd"])
      assert.deepStrictEqual(
        files.map((file: { readonly intact: boolean }) => file.intact),
        [true, true]
      )
      assert.deepStrictEqual(stored, { before: 1, after: 0 })
    })
  )

  it.effect("the keeper listens to its own user only, and ends when it holds nothing", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* program("hold", "somebody")
      assert.strictEqual(yield* keepers, "1")
      assert.include((yield* host.agent("status")).stdout, "session somebody (keeper, pid ")

      // Everything in the way is opened, so that it is the keeper who refuses. How many bytes come back:
      const ask = `
        const socket = require("node:net").connect("/run/liveupdate/keeper/socket")
        let bytes = 0
        socket.on("connect", () => socket.write(Buffer.from("0800000001000400", "hex")))
        socket.on("data", (part) => { bytes += part.length })
        socket.on("error", () => undefined).on("close", () => console.log(bytes))`
      const askedBy = (uid: string) =>
        host.output("setpriv", "--reuid", uid, "--clear-groups", "/usr/lib/liveupdate/node", "-e", ask)
      yield* host.output("chmod", "0777", "/run/liveupdate", "/run/liveupdate/keeper", "/run/liveupdate/keeper/socket")
      assert.strictEqual(yield* askedBy("65534"), "0")
      assert.isAbove(Number(yield* askedBy("0")), 0)
      yield* host.output("chmod", "0700", "/run/liveupdate", "/run/liveupdate/keeper")

      yield* program("release", "somebody")
      yield* host.keeperGone
      assert.strictEqual(yield* keepers, "0")
    })
  )
})
