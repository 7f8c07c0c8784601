#!/usr/bin/env node
// npm run bench: what the SDK costs, against the same system calls in C. See docs/benchmark.md.
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Hosts from "@liveupdate/agent/cli/Hosts"
import * as Channel from "@liveupdate/qemu-host/Channel"
import * as QemuHost from "@liveupdate/qemu-host/QemuHost"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as MeasuredHost from "./MeasuredHost.ts"
import * as Measurement from "./Measurement.ts"
import * as Plan from "./Plan.ts"
import * as Results from "./Results.ts"
import * as Summary from "./Summary.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    json: { type: "string" },
    here: { type: "boolean", default: false }
  }
})

const root = fileURLToPath(new URL("../../../", import.meta.url))
// What docs/performance.md is made of, unless it is only this machine's.
const json = options.json ?? (options.here ? "bench.json" : Path.join(root, "packages/bench/results/calls.json"))
const say = (text: string) => Effect.sync(() => void process.stderr.write(`${text}\n`))

const compile = (directory: string) =>
  Effect.sync(() => {
    const source = fileURLToPath(new URL("../native/calls.c", import.meta.url))
    const program = Path.join(directory, "calls")
    execFileSync("cc", ["-std=gnu11", "-O2", "-static", "-s", "-Wall", "-o", program, source])
    return program
  })

const bundle = (directory: string) =>
  Effect.sync(() => {
    const program = Path.join(directory, "bench.mjs")
    execFileSync(process.execPath, [
      Path.join(root, "scripts/bundle-program.mjs"),
      fileURLToPath(new URL("inside/main.js", import.meta.url)),
      program
    ])
    return program
  })

const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveupdate-bench-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** What needs no live update, on this machine. */
const here = Effect.fn("bench.here")(function* (directory: string, plan: string) {
  const program = yield* compile(directory)
  return yield* Effect.sync(() =>
    execFileSync(
      process.execPath,
      [fileURLToPath(new URL("inside/main.js", import.meta.url)), "calls", program, plan],
      { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }
    )
  )
})

const C_INSIDE = "/usr/lib/liveupdate/calls"
// Beside ffi-rs's native part, which the agent brought.
const PROGRAM_INSIDE = "/usr/lib/liveupdate/bench.mjs"

/**
 * As the agent's second half is started (packages/agent/early/resume.flags): the host has two emulated processors, and threads
 * of V8's own that wait for each other on them would be most of what is measured.
 */
const NODE_INSIDE = ["/usr/lib/liveupdate/node", "--single-threaded"] as const

/** Everything, on a host of its own and across a real jump. */
const inHost = Effect.fn("bench.inHost")(function* (directory: string, plan: string) {
  const hosts = yield* QemuHost.QemuHost
  const channel = yield* Channel.Channel
  const name = `bench-${process.pid}`
  const programs = [
    [yield* compile(directory), C_INSIDE],
    [yield* bundle(directory), PROGRAM_INSIDE]
  ] as const
  yield* Effect.addFinalizer(() => Effect.ignore(hosts.stop(name)))
  const loadBefore = yield* MeasuredHost.load
  const host = yield* hosts.start(name, { payload: yield* Hosts.payload })
  const { address } = host
  for (const [from, to] of programs)
    yield* channel.push(address, Stream.make(new Uint8Array(Fs.readFileSync(from))), to, 0o700)
  // What lies only in the page cache would be gone with the jump.
  yield* channel.output(address, ["sync"])
  const inside = (phase: string) => channel.output(address, [...NODE_INSIDE, PROGRAM_INSIDE, phase, C_INSIDE, plan])

  yield* say("measuring what needs no jump")
  const before = yield* inside("before")
  yield* say("handing over to the next kernel")
  const bootId = (yield* channel.output(address, ["cat", "/proc/sys/kernel/random/boot_id"])).trim()
  yield* inside("jump").pipe(
    Effect.flatMap(() => Effect.dieMessage("the jump came back")),
    Effect.catchTag("HostRebooted", () => Effect.void)
  )
  yield* channel.waitReady(address, { timeout: "120 seconds", not: bootId })
  yield* say("measuring what is retrieved")
  const after = yield* inside("after")
  return { output: `${before}${after}`, about: yield* MeasuredHost.about(host, loadBefore) }
})

const main = Effect.gen(function* () {
  const rounds = Number(options.rounds)
  if (!Number.isSafeInteger(rounds) || rounds < 1)
    return yield* Effect.fail({ message: `--rounds ${options.rounds}: give a whole number from 1 on` })
  const plan = Plan.standard(rounds)
  const text = yield* Schema.encode(Plan.json)(plan)
  const directory = yield* temporary
  const { about, output } = options.here
    ? { about: undefined, output: yield* here(directory, text) }
    : yield* Effect.provide(inHost(directory, text), Hosts.layer.pipe(Layer.provideMerge(NodeContext.layer)))
  const measurements = Measurement.fromLines(output)
  const summary = Summary.rows(measurements)
  yield* Effect.sync(() => {
    process.stdout.write(`\n${Summary.render(summary)}\n`)
    Fs.writeFileSync(
      json,
      Results.toText(Results.Calls, {
        version: 1,
        where: options.here ? "here" : "host",
        ...(about === undefined ? {} : { about }),
        plan,
        summary,
        measurements
      })
    )
  })
  yield* say(`\nEvery single figure: ${json}`)
}).pipe(Effect.scoped)

NodeRuntime.runMain(main, { disablePrettyLogger: true })
