#!/usr/bin/env node
// npm run bench:eight: the blackout of eight VMs against that of one, in turns, on one host. See docs/blackout.md.
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Hosts from "@liveupdate/agent/cli/Hosts"
import * as Event from "@liveupdate/agent/upgrade/Event"
import * as TimeLine from "@liveupdate/agent/upgrade/TimeLine"
import * as Channel from "@liveupdate/qemu-host/Channel"
import * as QemuHost from "@liveupdate/qemu-host/QemuHost"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Blackouts from "./Blackouts.ts"
import * as Counting from "./Counting.ts"
import * as MeasuredHost from "./MeasuredHost.ts"
import * as Results from "./Results.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    vms: { type: "string", default: "8" },
    json: { type: "string", default: fileURLToPath(new URL("../results/updates.json", import.meta.url)) },
    append: { type: "string", default: "" }
  }
})

/** Eight guests and the host's own. */
const HOST_MIB = 3072

/** The demo's guest, small and idle but for its ticks: what is measured is the host. */
const guest = {
  memory: "96M",
  accelerator: "kvm",
  cpu: "qemu64",
  kernel: "/var/lib/liveupdate-demo/vmlinux",
  initrd: "/var/lib/liveupdate-demo/guest.cpio",
  cmdline: "console=ttyS0 quiet pci=lastbus=0"
} as const

const builtAgent = fileURLToPath(new URL("dist/program/bin.js", import.meta.resolve("@liveupdate/agent/package.json")))

const say = (text: string) => Effect.sync(() => void process.stderr.write(`${text}\n`))

const fail = (message: string) => Effect.fail({ message })

/** A command of the agent, acting on the host from outside. */
const agent = (...args: ReadonlyArray<string>) =>
  Effect.async<string, { readonly message: string }>((resume) => {
    const child = execFile(process.execPath, [builtAgent, ...args], { maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
      resume(error === null ? Effect.succeed(stdout) : fail(`agent ${args.join(" ")}: ${stderr}${stdout.slice(-2000)}`))
    )
    return Effect.sync(() => child.kill())
  })

const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveupdate-eight-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const whole = (name: string, text: string, least: number) => {
  const number = Number(text)
  return Number.isSafeInteger(number) && number >= least
    ? Effect.succeed(number)
    : fail(`--${name} ${text}: give a whole number from ${least} on`)
}

const measure = Effect.fn("bench.eight")(function* (rounds: number, vms: number) {
  const hosts = yield* QemuHost.QemuHost
  const channel = yield* Channel.Channel
  const directory = yield* temporary
  const name = `eight-${process.pid}`
  const there = ["--host", `qemu:${name}`]
  yield* Effect.addFinalizer(() => Effect.ignore(hosts.stop(name)))
  const loadBefore = yield* MeasuredHost.load
  const host = yield* hosts.start(name, {
    payload: yield* Hosts.payload,
    memoryMiB: HOST_MIB,
    ...(options.append === "" ? {} : { append: options.append })
  })
  const { address } = host
  const inside = (script: string, ...args: ReadonlyArray<string>) =>
    channel.output(address, ["sh", "-ec", script, "sh", ...args])

  const start = (id: string) =>
    Effect.suspend(() => {
      const file = Path.join(directory, `${id}.json`)
      Fs.writeFileSync(file, JSON.stringify({ id, ...guest }))
      return agent("vm", "start", file, ...there)
    })

  /** Waits until each guest has counted beyond what it had; one that lost a tick or booted twice ends the benchmark. */
  const counted = (ids: ReadonlyArray<string>, beyond: ReadonlyArray<number>) =>
    inside(`for vm; do cat /var/lib/liveupdate/vms/$vm/console.log; printf '\\0'; done`, ...ids).pipe(
      Effect.map((text) => text.split("\0").slice(0, ids.length).map(Counting.parse)),
      Effect.filterOrFail(
        (seen) => seen.every(({ last }, index) => last > (beyond[index] ?? 0)),
        (seen) => ({ message: `a guest doesn't count on: ${JSON.stringify(seen)}, beyond ${beyond.join(", ")}` })
      ),
      Effect.retry(Schedule.intersect(Schedule.spaced("300 millis"), Schedule.recurs(600))),
      Effect.filterOrFail(
        (seen) => seen.every(({ boots, gaps }) => boots === 1 && gaps.length === 0),
        (seen) => ({ message: `a guest was harmed: ${JSON.stringify(seen)}` })
      ),
      Effect.map((seen) => seen.map(({ last }) => last))
    )

  const update = (round: number, ids: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      // Nothing of the last start-up is at work any more, and all guests are through theirs.
      const kernel = (yield* inside(
        "systemctl is-system-running --wait >/dev/null || true; ls /boot/vmlinuz-* | grep -vF -- -$(uname -r) | head -n 1"
      )).trim()
      const before = yield* counted(
        ids,
        ids.map(() => 5)
      )
      const load = yield* MeasuredHost.load
      const said = yield* agent("upgrade", "--all", "--kernel", kernel, "--output", "ndjson", ...there)
      const line = TimeLine.make(Event.parseLines(said.split("\n")))
      if (line === undefined || line.blackouts.length !== ids.length) return yield* fail(`no time line: ${said}`)
      yield* counted(
        ids,
        before.map((tick) => tick + 1)
      )
      const measured = Blackouts.make({ round, vms: ids.length, load }, line)
      yield* say(Blackouts.render([measured]).split("\n").slice(0, 2).join("\n"))
      return measured
    })

  const one = "one"
  yield* start(one)
  const measured = yield* Effect.forEach(
    Array.from({ length: rounds }, (_, index) => index + 1),
    (round) =>
      Effect.gen(function* () {
        const others = Array.from({ length: vms - 1 }, (_, index) => `round-${round}-${index + 2}`)
        const alone = yield* update(round, [one])
        yield* Effect.forEach(others, start, { concurrency: 2 })
        const together = yield* update(round, [one, ...others])
        yield* inside(`for vm; do agent vm stop --timeout 0 "$vm"; done`, ...others)
        return [alone, together]
      })
  )
  return { updates: measured.flat(), about: yield* MeasuredHost.about(host, loadBefore) }
})

const main = Effect.gen(function* () {
  const rounds = yield* whole("rounds", options.rounds, 1)
  const vms = yield* whole("vms", options.vms, 2)
  const { about, updates } = yield* measure(rounds, vms).pipe(
    Effect.provide(Hosts.layer.pipe(Layer.provideMerge(NodeContext.layer)))
  )
  yield* Effect.sync(() => {
    process.stdout.write(`\n${Blackouts.render(updates)}\n`)
    Fs.writeFileSync(options.json, Results.toText(Results.Updates, { version: 1, about, updates }))
  })
}).pipe(Effect.scoped)

NodeRuntime.runMain(main, { disablePrettyLogger: true })
