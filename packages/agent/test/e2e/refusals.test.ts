/**
 * A live update that can't be done, or is ended before its jump, is no event in a guest's life: it counts on, and the next
 * live update finds everything as if there had been none. What was wrong is said in one line and by the exit code.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Event from "../../src/upgrade/Event.ts"
import * as GuestConsole from "./GuestConsole.ts"
import * as TestHost from "./TestHost.ts"

const vm = "web-1"
const spec = {
  id: vm,
  memory: "128M",
  ...TestHost.demoGuest,
  cmdline: TestHost.guestCommandLine("16M")
}

const agent = "/usr/bin/agent"
const notThere = "/boot/vmlinuz-none"

const eventsOf = (stdout: string) => Event.parseLines(stdout.split("\n"))
const stepsOf = (stdout: string) =>
  eventsOf(stdout).flatMap((event) => (event.type === "step" ? [`${event.step} ${event.status}`] : []))

/** The guest is still the one that was booted, runs, and has missed nothing. */
const guestCountsOn = (id: string) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const seen = yield* host.waitForTick(id)
    GuestConsole.assertUnharmed(seen)
    return seen
  })
const countsOn = guestCountsOn(vm)

/** A second, smaller guest with two processors. */
const secondSpec = (id: string) => ({ ...spec, id, memory: "64M", cpus: 2, cmdline: TestHost.guestCommandLine("1M") })

/** Runs what has to be refused: one line that says why, this exit code, no trace, and a guest that didn't notice. */
const refused = <E, R>(run: Effect.Effect<TestHost.Said, E, R>, code: number, ...says: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const before = yield* host.history
    const { code: exit, stderr, stdout } = yield* run
    assert.strictEqual(exit, code, stderr)
    assert.strictEqual(stderr.trim().split("\n").length, 1, stderr)
    for (const what of says) assert.include(stderr, what)
    assert.strictEqual(stdout, "")
    assert.deepStrictEqual(yield* host.history, before)
    yield* countsOn
  })

/** `agent upgrade` of the VM inside, to the host's other kernel unless told otherwise. */
const upgrade = (...options: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const kernel = options.includes("--kernel") ? [] : ["--kernel", yield* host.otherKernel]
    return yield* host.inside(
      agent,
      "upgrade",
      ...(options.includes("--vm") ? [] : ["--vm", vm]),
      ...kernel,
      ...options
    )
  })

/**
 * `agent upgrade`, and a shell command at the moment when it reports an event; `$pid` is the agent. All of it runs inside, so
 * that the command comes milliseconds after the event. Ends as the agent does.
 */
const upgradeBut = (event: string, command: string) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const script = `
      events=$(mktemp -u); mkfifo "$events"
      ${agent} upgrade --vm ${vm} --kernel "$1" --output ndjson >"$events" & pid=$!
      while read -r line; do
        echo "$line"
        case $line in ${event}) ${command};; esac
      done <"$events"
      rm "$events"; wait $pid`
    return yield* host.inside("sh", "-c", script, "sh", yield* host.otherKernel)
  })

/** The line of an event as a shell pattern; between the two fields others may stand. */
const at = (step: Event.Step, status: string) => `*'"step":"${step}"'*'"status":"${status}"'*`

layer(TestHost.layer("refusals", { programs: ["preservation", "otherKernel"] }), {
  excludeTestServices: true,
  timeout: "20 minutes"
})("before the jump", (it) => {
  it.effect("start: a guest counts", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.runVm(spec)
      yield* host.waitForTick(vm, 2)
    })
  )

  const badInput: ReadonlyArray<
    readonly [string, Effect.Effect<TestHost.Said, never, TestHost.TestHost>, number, ...ReadonlyArray<string>]
  > = [
    ["a VM that isn't there", upgrade("--vm", "web-2"), 4, `no VM "web-2": this host has ${vm}`],
    [
      "all VMs, and one by name",
      TestHost.agentHere("upgrade", "--all", "--vm", vm, "--kernel", notThere),
      2,
      "leave --vm out"
    ],
    ["no VM named", TestHost.agentHere("upgrade", "--kernel", notThere), 2, "take --all"],
    ["a VM named twice", upgrade("--vm", vm, "--vm", vm), 5, "A VM is named twice"],
    ["a kernel that isn't there", upgrade("--kernel", notThere), 4, `Kernel image ${notThere} does not exist`],
    ["a kernel that is none", upgrade("--kernel", "/etc/hostname"), 5, "/etc/hostname is no kernel image"],
    ["a kernel that is a directory", upgrade("--kernel", "/boot"), 5, "/boot is no kernel image"],
    ["an initrd that isn't there", upgrade("--initrd", notThere), 5, `initrd ${notThere} can't be read`],
    [
      "no live update on the next kernel",
      upgrade("--cmdline", "quiet"),
      5,
      "doesn't turn live update on",
      "liveupdate=on"
    ],
    ["no handover to the next kernel", upgrade("--cmdline", "liveupdate=on kho=off"), 5, "Remove kho=off"],
    [
      "two command lines",
      TestHost.agentHere("upgrade", "--vm", vm, "--kernel", notThere, "--cmdline", "a", "--reuse-cmdline"),
      2,
      "--cmdline and --reuse-cmdline exclude each other"
    ],
    ["an option that is missing", TestHost.agentHere("upgrade", "--vm", vm), 2, "--kernel"],
    ["a subcommand that is unknown", TestHost.agentHere("upgrad"), 2, "'upgrade'"],
    [
      "a subcommand of a group that is unknown",
      TestHost.agentHere("vm", "frob"),
      2,
      "agent vm frob is no command: use one of console, list, start, stop"
    ],
    [
      "a user who isn't root",
      Effect.flatMap(TestHost.TestHost, (host) =>
        Effect.flatMap(host.otherKernel, (kernel) =>
          host.inside("setpriv", "--reuid", "65534", "--clear-groups", agent, "upgrade", "--vm", vm, "--kernel", kernel)
        )
      ),
      5,
      "Run the agent as root"
    ],
    [
      "a machine without live update, such as this one",
      TestHost.agentHere("upgrade", "--vm", vm, "--kernel", notThere),
      5,
      process.getuid?.() === 0 ? "This kernel offers no live update" : "Run the agent as root"
    ],
    [
      "a host that doesn't run",
      TestHost.agentHere("upgrade", "--vm", vm, "--kernel", notThere, "--host", "qemu:e2e-none"),
      4,
      "host e2e-none is not running"
    ]
  ]
  for (const [what, run, code, ...says] of badInput)
    it.effect(`${what}: exit code ${code}`, () => refused(run, code, ...says))

  const badSpecs: ReadonlyArray<readonly [string, Readonly<Record<string, unknown>>, string]> = [
    [
      "an unknown field",
      { ...spec, id: "other", memmory: "1G" },
      'memmory is no known field; the nearest one is "memory"'
    ],
    ["too little memory", { ...spec, id: "other", memory: "64K" }, 'memory of "64K" is too small'],
    [
      "more memory than the host has",
      { ...spec, id: "other", memory: "64G" },
      'memory of "64G" is more than this host has'
    ]
  ]
  for (const [what, bad, says] of badSpecs)
    it.effect(`a VM spec with ${what}: exit code 2`, () =>
      refused(
        Effect.flatMap(TestHost.TestHost, (host) => host.startVm(bad)),
        2,
        says
      )
    )

  it.effect("another VM that runs and isn't named: exit code 5, and its name", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.runVm(secondSpec("db-1"))
      yield* refused(upgrade(), 5, "these running VMs are not part of the live update: db-1", "--abandon ID")
      yield* refused(upgrade("--abandon", "db-2"), 4, 'no VM "db-2"')
      yield* refused(upgrade("--abandon", vm), 5, `VM ${vm} can't be carried and abandoned`)
      // The guest hears its power button and shuts down by itself.
      const stopped = yield* host.agent("vm", "stop", "db-1", "--output", "ndjson")
      assert.strictEqual(stopped.code, 0, stopped.stderr)
      assert.deepInclude(JSON.parse(stopped.stdout), { id: "db-1", how: "shut-down" })
    })
  )

  it.effect("a plan says what would be done, and all that would refuse it; it changes nothing", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const before = yield* host.history
      const plan = (...options: ReadonlyArray<string>) =>
        Effect.map(host.inside(agent, "plan", ...options, "--output", "ndjson"), (said) => ({
          code: said.code,
          plan: JSON.parse(said.stdout),
          stderr: said.stderr
        }))
      const good = yield* plan("--all", "--kernel", yield* host.otherKernel)
      assert.strictEqual(good.code, 0, good.stderr)
      assert.deepInclude(good.plan, { version: 1, type: "plan", refusals: [], from: yield* host.release })
      assert.deepStrictEqual(
        good.plan.sessions.map(({ session }: { session: string }) => session),
        ["liveupdate-agent", "liveupdate-index", `liveupdate-vm-${vm}`]
      )
      assert.deepInclude(good.plan.sessions[2].files[0], {
        name: "ram",
        token: "1",
        bytes: 128 << 20,
        whileRunning: true,
        ifJumpFails: "kept"
      })

      const bad = yield* plan("--vm", vm, "--vm", "web-2", "--kernel", "/etc/hostname", "--cmdline", "quiet")
      assert.strictEqual(bad.code, 5)
      assert.lengthOf(bad.plan.refusals, 3)
      for (const [index, what] of ["no kernel image", "liveupdate=on", 'no VM "web-2"'].entries())
        assert.include(bad.plan.refusals[index], what)
      assert.match(bad.stderr, /^agent: It would be refused: .* \(and 2 more\)\n$/)
      assert.deepStrictEqual(yield* host.history, before)
      assert.strictEqual(yield* host.output("cat", "/sys/kernel/kexec_loaded"), "0")
    })
  )

  it.effect("whoever reads the output goes away: the command ends, and says nothing of it", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const said = yield* host.agentInto("head -n 1", "host", "exec", "--name", host.name, "--", "yes")
      assert.deepStrictEqual(said, { code: 141, stdout: "y\n", stderr: "" })
    })
  )

  it.effect("another process has the device open: DeviceBusy, exit code 5", () =>
    Effect.flatMap(TestHost.TestHost, (host) =>
      host.during(
        "exec 9<>/dev/liveupdate && echo ready && exec sleep infinity",
        refused(upgrade(), 5, "Another process holds the live update device", "fuser -v /dev/liveupdate")
      )
    )
  )

  it.effect("another process has the host's lock: HostLocked, exit code 5", () =>
    Effect.flatMap(TestHost.TestHost, (host) =>
      host.during(
        "exec flock /run/liveupdate/host.lock sh -c 'echo ready; exec sleep infinity'",
        refused(upgrade(), 5, "Another process is at a live update of this host", "fuser -v /run/liveupdate/host.lock")
      )
    )
  )

  it.effect("a file is preserved once, in one session at one token, until the session's scope ends", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const said = yield* host.program("preservation")
      assert.strictEqual(said.code, 0, said.stderr)
      const preserved = { tag: "AlreadyPreserved", errno: "EBUSY", holder: { session: "first", token: "1" } }
      assert.deepStrictEqual(JSON.parse(said.stdout), {
        sameSession: preserved,
        otherSession: preserved,
        sameFile: preserved,
        sameToken: { tag: "TokenInUse", errno: "EEXIST" },
        sameName: { tag: "SessionExists", errno: "EEXIST" },
        // A preserved file has the size that it had.
        resize: { tag: "MemoryFrozen", errno: "EPERM" },
        afterwards: "Right",
        missing: { tag: "SessionNotFound", errno: "ENOENT" },
        // One file of four is somebody else's, at each place in turn: the three that were free are free again.
        sets: ["1", "2", "3", "4"].map((token) => ({
          tag: "AlreadyPreserved",
          session: "set",
          token,
          others: "Right",
          afterwards: "Right"
        }))
      })
      yield* countsOn
    })
  )

  for (const [what, string, other] of [
    ["LUO reads another state", "luo-v5", "luo-v4"],
    ["memfd handler reads other files", "memfd-v2", "memfd-v3"]
  ] as const)
    it.effect(`a kernel whose ${what}: exit code 5, nothing is loaded, and the guest was never paused`, () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const image = `/boot/vmlinuz-${other}`
        const made = yield* host.program("otherKernel", yield* host.otherKernel, string, other, image)
        assert.strictEqual(made.code, 0, made.stderr)
        yield* refused(
          upgrade("--kernel", image),
          5,
          `${image} can't take over from the running kernel: this kernel writes ${string}, but the target reads ${other}.`,
          `Take a kernel that reads ${string}`
        )
        assert.strictEqual(yield* host.output("cat", "/sys/kernel/kexec_loaded"), "0")
        yield* host.booted
        const doctor = yield* host.inside(agent, "doctor", "--kernel", image, "--output", "ndjson")
        assert.strictEqual(doctor.code, 5, doctor.stderr)
        assert.include(doctor.stdout, `"failed":["target-${string.split("-")[0]}"]`)
        yield* host.output("rm", image)
      })
    )

  it.effect(
    "a kernel that looks right and that the running one refuses: exit code 6, and the guest was never paused",
    () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        // Documentation/arch/x86/boot.rst: without xloadflags at 0x236 it isn't relocatable, which kexec_file_load insists on.
        const image = "/boot/vmlinuz-refused"
        yield* host.output(
          "sh",
          "-ec",
          'cp "$1" "$2"; printf "\\0\\0" | dd of="$2" bs=1 seek=$((0x236)) conv=notrunc status=none',
          "sh",
          yield* host.otherKernel,
          image
        )
        const said = yield* upgrade("--kernel", image, "--output", "ndjson")
        assert.strictEqual(said.code, 6, said.stderr)
        assert.match(said.stderr, /^agent: The live update stopped at load-kernel: .*\n$/)
        assert.include(said.stderr, image)
        assert.deepStrictEqual(stepsOf(said.stdout), ["preflight done", "load-kernel started", "load-kernel failed"])
        assert.deepInclude(eventsOf(said.stdout).at(-1), { type: "outcome", result: "rolled-back" })
        yield* countsOn
      })
  )

  it.effect(
    "a second agent while one is at work watches it and ends as it does, or is refused if it wants another",
    () =>
      Effect.gen(function* () {
        const said = yield* upgradeBut(
          at("preserve-running", "done"),
          `kill -STOP $pid
         ${agent} upgrade --vm ${vm} --kernel "$1" --output ndjson >/run/second.out 2>/run/second.err & second=$!
         ${agent} upgrade --vm ${vm} --kernel /boot/vmlinuz-$(uname -r); echo "other $?"
         until grep -q preserve-running /run/second.out; do sleep 0.1; done
         kill -TERM $pid; kill -CONT $pid; wait $second; echo "second $?"`
        )
        assert.include(said.stdout, "\nother 5\n")
        assert.include(said.stderr, "Another process is at a live update of this host")
        assert.strictEqual(said.code, 143, said.stderr)
        assert.include(said.stdout, "\nsecond 6\n")
        const host = yield* TestHost.TestHost
        assert.deepInclude(eventsOf(yield* host.output("cat", "/run/second.out")).at(-1), { result: "rolled-back" })
        assert.include(yield* host.output("cat", "/run/second.err"), "the agent was told to end")
        yield* countsOn
      })
  )

  it.effect("a guest that would stand still for longer than it may: exit code 6, and it runs again", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      yield* host.write("/run/slow", "#!/bin/sh\nsleep 5\n")
      const said = yield* host.inside(
        "sh",
        "-c",
        `chmod 700 /run/slow; LIVEUPDATE_CHECKPOINTS=before:save-state=/run/slow \
           exec ${agent} upgrade --vm ${vm} --kernel "$1" --max-pause 1 --output ndjson`,
        "sh",
        yield* host.otherKernel
      )
      assert.strictEqual(said.code, 6, said.stderr)
      assert.include(said.stderr, "stopped at save-state: the guests would have stood still for longer than they may")
      assert.include(stepsOf(said.stdout), "pause undone")
      yield* countsOn
    })
  )

  it.effect("SIGTERM while the guest is paused: exit code 143, and the guest runs again", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const bootId = yield* host.bootId
      const said = yield* upgradeBut(at("pause", "done"), "kill -TERM $pid")
      assert.strictEqual(said.code, 143, said.stderr)
      assert.include(said.stderr, "agent: SIGTERM: stopping at the next safe point")
      assert.include(stepsOf(said.stdout), "pause undone")
      assert.deepInclude(eventsOf(said.stdout).at(-1), { type: "outcome", result: "rolled-back" })
      yield* countsOn
      assert.strictEqual(yield* host.bootId, bootId)
    })
  )

  it.effect("SIGKILL while the guest is paused: the watchdog gives it back within two seconds", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const bootId = yield* host.bootId
      const said = yield* upgradeBut(at("pause", "done"), "kill -KILL $pid")
      assert.strictEqual(said.code, 137, said.stderr)
      yield* host.watchdogGone
      const events = eventsOf((yield* host.agent("status", "--output", "ndjson")).stdout)
      const [paused, runs] = ["pause", "recover"].map((step) =>
        events.findLast((event) => event.type === "step" && event.step === step && event.status === "done")
      )
      assert.isBelow((runs?.monotonic ?? Number.NaN) - (paused?.monotonic ?? Number.NaN), 2000)
      assert.deepInclude(events.at(-1), { type: "outcome", result: "rolled-back" })
      yield* countsOn
      // Nothing is left to do, and no kernel is loaded that the next reboot would take.
      assert.include((yield* host.inside(agent, "resume")).stdout, "Nothing to resume")
      assert.strictEqual(yield* host.output("cat", "/sys/kernel/kexec_loaded"), "0")
      assert.strictEqual(yield* host.bootId, bootId)
    })
  )

  it.effect("SIGKILL of the agent and of its watchdog: the next live update gives the guest back first", () =>
    Effect.gen(function* () {
      const host = yield* TestHost.TestHost
      const said = yield* upgradeBut(
        at("pause", "done"),
        `kill -KILL $(pgrep -f '${TestHost.watchdog}'); kill -KILL $pid`
      )
      assert.strictEqual(said.code, 137, said.stderr)
      const still = GuestConsole.lastTick(yield* host.console(vm))
      const listed = yield* host.agent("vm", "list", "--output", "ndjson")
      assert.match(listed.stdout, new RegExp(`"id":"${vm}","state":"(paused|saved)"`))
      assert.include((yield* host.agent("status")).stdout, "agent resume")
      assert.strictEqual(GuestConsole.lastTick(yield* host.console(vm)), still)

      const again = yield* upgrade("--dry-run", "--output", "ndjson")
      assert.strictEqual(again.code, 0, again.stderr)
      const steps = stepsOf(again.stdout)
      assert.include(steps, "preserve-state done")
      assert.notInclude(steps, "jump started")
      assert.strictEqual(steps.at(-1), "pause undone")
      assert.deepInclude(eventsOf(again.stdout).at(-1), { type: "outcome", result: "dry-run" })
      assert.isAbove(GuestConsole.lastTick(yield* countsOn), still)
    })
  )

  it.effect(
    "after all that a live update of two VMs works, a third one is stopped for it, and neither guest has missed anything",
    () =>
      Effect.gen(function* () {
        const host = yield* TestHost.TestHost
        const before = yield* host.release
        yield* host.runVm(secondSpec("db-2"))
        yield* host.waitForTick("db-2", 2)
        yield* host.runVm(secondSpec("db-3"))
        yield* host.waitForTick("db-3", 2)
        const names = ["pre-pause", "post-save", "pre-jump", "post-boot", "pre-resume", "post-finish"]
        yield* host.output("mkdir", "-p", ...names.map((name) => `/etc/liveupdate/hooks/${name}`))
        for (const name of names)
          yield* host.write(
            `/etc/liveupdate/hooks/${name}/log`,
            '#!/bin/sh\necho "$(uname -r) $LIVEUPDATE_HOOK $LIVEUPDATE_ACTION $LIVEUPDATE_VM" >>/var/lib/hooks.log\n'
          )
        yield* host.output("sh", "-c", "chmod 755 /etc/liveupdate/hooks/*/log")
        const said = yield* host.agent(
          "upgrade",
          ...["--vm", vm, "--vm", "db-2", "--stop-others"],
          ...["--kernel", yield* host.otherKernel]
        )
        assert.strictEqual(said.code, 0, said.stderr)
        const after = yield* host.release
        assert.sameMembers(
          (yield* host.output("cat", "/var/lib/hooks.log")).split("\n").map((line) => line.trim()),
          [
            ...[vm, "db-2"].flatMap((id) => [`${before} pre-pause do ${id}`, `${before} post-save do ${id}`]),
            `${before} pre-jump do`,
            `${after} post-boot do`,
            ...[vm, "db-2"].flatMap((id) => [`${after} pre-resume do ${id}`, `${after} post-finish do ${id}`])
          ]
        )
        const { complaints: words, ticks } = yield* host.console("db-3")
        assert.deepStrictEqual(words, [])
        assert.isAbove(ticks.length, 2)
        for (const id of [vm, "db-2"]) assert.include(said.stdout, `${id}: blackout `)
        yield* guestCountsOn("db-2")
        assert.notStrictEqual(yield* host.release, before)
        const { complaints, verdicts } = yield* countsOn
        assert.deepStrictEqual(
          verdicts.filter((verdict) => verdict.bad !== 0),
          []
        )
        assert.deepStrictEqual(complaints, [])
      })
  )
})
