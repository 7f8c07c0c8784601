/**
 * `agent doctor` on a real host: all is well on one that was just booted and on one that has gone through a live update, and each
 * blocker that can be taken away again is named, with exit code 5, for as long as it is there.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Check, Finding, TargetCheck, type Verdict } from "../../src/upgrade/doctor/Finding.ts"
import * as GuestConsole from "./GuestConsole.ts"
import * as TestHost from "./TestHost.ts"

const vm = "web-1"
const agent = "/usr/bin/agent"

const common = { version: Schema.Literal(1) }
const Line = Schema.parseJson(
  Schema.Union(
    Schema.Struct({ ...common, type: Schema.Literal("finding"), ...Finding.fields }),
    Schema.Struct({ ...common, type: Schema.Literal("summary"), verdict: Schema.String, failed: Schema.Array(Check) })
  )
)

/** Reads the command's ndjson: every check once, in order, then the summary. */
const read = ({ code, stderr, stdout }: TestHost.Said) => {
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => Schema.decodeUnknownSync(Line)(line))
  const findings = lines.flatMap((line) => (line.type === "finding" ? [line] : []))
  assert.deepStrictEqual(
    findings.map(({ check }) => check),
    [...Check.literals],
    stderr
  )
  const summary = lines.at(-1)
  if (summary?.type !== "summary") return assert.fail(`no summary: ${stdout}${stderr}`)
  const finding = (check: Check) => findings.find((_) => _.check === check) ?? assert.fail(check)
  const notOk = findings.filter(({ verdict }) => verdict !== "ok")
  return { code, notOk, failed: summary.failed, verdict: summary.verdict, finding }
}

/** From outside, as an operator types it. */
const doctor = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  yield* host.booted
  return read(yield* host.agent("doctor", "--output", "ndjson"))
})

/** What looking must not change. */
const traces = Effect.gen(function* () {
  const host = yield* TestHost.TestHost
  const files = yield* host.inside("sh", "-c", "find /run/liveupdate /var/lib/liveupdate 2>/dev/null | sort")
  return [...(yield* host.history), files.stdout, yield* host.output("cat", "/sys/kernel/kexec_loaded")]
})

const isWell = Effect.gen(function* () {
  const { code, notOk, verdict } = yield* doctor
  assert.deepStrictEqual(notOk, [])
  assert.strictEqual(verdict, "ok")
  assert.strictEqual(code, 0)
})

layer(TestHost.layer("doctor"), { excludeTestServices: true, timeout: "20 minutes" })("agent doctor", (it) => {
  it.effect("a host that was just booted: every check says ok, exit code 0, and nothing has changed", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.booted
      yield* host.keeperGone
      const before = yield* traces
      yield* isWell
      assert.deepStrictEqual(yield* traces, before)
    })
  )

  it.effect("what it says of the kernel is what the kernel says", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const { finding } = yield* doctor
      assert.include(finding("kernel").detail, yield* host.release)
      assert.match(finding("kho").detail, /scratch memory of [1-9]\d* MiB in [1-9]\d* area/)
      assert.match(finding("abi").detail, /^KHO writes kho-v\d+, LUO writes luo-v\d+/)
      assert.match(finding("handlers").detail, /^memfd: handler \(iommufd: no handler, VFIO: not known,/)
      assert.match(finding("huge-pages").detail, /always$/)
    })
  )

  it.effect("the next kernel is named: it is looked into, and reads what the running one writes", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const kernel = yield* host.otherKernel
      const said = yield* host.agent("doctor", "--kernel", kernel)
      assert.strictEqual(said.code, 0, said.stderr)
      const count = Check.literals.length + TargetCheck.literals.length
      assert.include(said.stdout, `\nThis host is ready for a live update: ${count} ok\n`)
      for (const layer of ["kho", "luo", "memfd"])
        assert.match(
          said.stdout,
          new RegExp(`^ok +target-${layer} +this kernel writes (${layer}-v\\d+), and the target reads \\1$`, "m")
        )
    })
  )

  it.effect("text: one line for each check, and what it comes to", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const said = yield* host.agent("doctor")
      assert.strictEqual(said.code, 0, said.stderr)
      const lines = said.stdout.trim().split("\n")
      assert.strictEqual(lines.at(-1), `This host is ready for a live update: ${Check.literals.length} ok`)
      assert.strictEqual(lines.length, Check.literals.length + 2)
    })
  )

  const blockers: ReadonlyArray<
    readonly [what: string, script: string, check: Check, detail: RegExp, ...Array<readonly [Check, Verdict]>]
  > = [
    [
      "another process has the device open",
      "exec 9<>/dev/liveupdate && echo ready && exec sleep infinity",
      "device-holder",
      /^\/dev\/liveupdate is open in \w+ \(pid \d+\)$/,
      ["live-update", "ok"],
      ["handlers", "unknown"]
    ],
    [
      "another process has the host's lock",
      "exec flock /run/liveupdate/host.lock sh -c 'echo ready; exec sleep infinity'",
      "agent",
      /^flock \(pid \d+\) is at a live update of this host$/,
      // Left alone: whoever is at work might want it this very moment.
      ["live-update", "unknown"],
      ["handlers", "unknown"]
    ]
  ]
  for (const [what, script, check, detail, ...others] of blockers)
    it.effect(`${what}: exit code 5, and check ${check} names it`, () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const { code, failed, finding } = yield* host.during(script, doctor)
        assert.strictEqual(code, 5)
        assert.deepStrictEqual(failed, [check])
        assert.match(finding(check).detail, detail)
        for (const [other, verdict] of others) assert.strictEqual(finding(other).verdict, verdict, other)
        yield* isWell
      })
    )

  it.effect("a directory that others may look into: a warning, exit code 0", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.output("chmod", "0755", "/run/liveupdate")
      const { code, notOk } = yield* doctor
      yield* host.output("chmod", "0700", "/run/liveupdate")
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(
        notOk.map(({ check, next }) => [check, next]),
        [["directories", "chmod 0700 /run/liveupdate"]]
      )
    })
  )

  it.effect("a user who isn't root: exit code 5, one failure, and the rest as far as it can be known", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const nobody = ["setpriv", "--reuid", "65534", "--clear-groups", agent] as const
      const { code, failed, finding } = read(yield* host.inside(...nobody, "doctor", "--output", "ndjson"))
      assert.strictEqual(code, 5)
      assert.deepStrictEqual(failed, ["root"])
      for (const check of ["kernel", "kexec", "systemd"] as const)
        assert.strictEqual(finding(check).verdict, "ok", check)
      for (const check of ["live-update", "device-holder", "handlers", "sessions"] as const)
        assert.strictEqual(finding(check).verdict, "unknown", check)
    })
  )

  it.effect(
    "an agent and its watchdog were killed before the jump: check last-run, until `agent resume` has cleaned up",
    () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        yield* host.runVm({
          id: vm,
          memory: "128M",
          ...TestHost.demoGuest,
          cmdline: TestHost.guestCommandLine("16M")
        })
        yield* host.waitForTick(vm, 2)
        const script = `
        events=$(mktemp -u); mkfifo "$events"
        ${agent} upgrade --vm ${vm} --kernel "$1" --output ndjson >"$events" & pid=$!
        while read -r line; do
          case $line in *'"step":"pause"'*'"status":"done"'*) pkill -KILL -f '${TestHost.watchdog}'; kill -KILL $pid;; esac
        done <"$events"
        rm "$events"; wait $pid`
        const killed = yield* host.inside("sh", "-c", script, "sh", yield* host.otherKernel)
        assert.strictEqual(killed.code, 137, killed.stderr)

        const { code, failed, finding } = yield* doctor
        assert.strictEqual(code, 5)
        assert.deepStrictEqual(failed, ["last-run"])
        assert.include(finding("last-run").next, "agent resume")
        // Its image is there still: only whoever loads another one, or a reboot, takes it away.
        assert.strictEqual(finding("kexec-loaded").verdict, "warn")
        assert.strictEqual(finding("sessions").verdict, "ok")

        const resumed = yield* host.inside(agent, "resume", "--output", "ndjson")
        assert.strictEqual(resumed.code, 0, resumed.stderr)
        const after = yield* doctor
        assert.strictEqual(after.code, 0)
        assert.match(after.finding("last-run").detail, /: rolled-back$/)
      })
  )

  it.effect("after a live update every check says ok again", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const said = yield* host.agent("upgrade", "--vm", vm, "--kernel", yield* host.otherKernel)
      assert.strictEqual(said.code, 0, said.stderr)
      yield* isWell
      assert.match((yield* doctor).finding("last-run").detail, /: upgraded$/)
      GuestConsole.assertUnharmed(yield* host.waitForTick(vm))
    })
  )
})
