#!/usr/bin/env node
// The demo: a Linux guest counts on while the kernel under it is replaced. It only starts what an operator would start:
// every line of the form "$ agent …" is a command that can be typed as well.
import { type ChildProcess, spawn } from "node:child_process"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as Event from "@liveupdate/agent/upgrade/Event"
import * as TimeLine from "@liveupdate/agent/upgrade/TimeLine"
import * as GuestLog from "./GuestLog.ts"

const HOST = "demo"
const VM = "demo"
const SPEC = relative(process.cwd(), fileURLToPath(new URL("../demo/guest.toml", import.meta.url)))
const AGENT = join(
  dirname(createRequire(import.meta.url).resolve("@liveupdate/agent/package.json")),
  "dist/program/bin.js"
)

const say = (text = "") => void process.stdout.write(`${text}\n`)
const began = process.hrtime.bigint()
const elapsed = () => `${(Number(process.hrtime.bigint() - began) / 1e9).toFixed(1)} s`

const agent = (args: ReadonlyArray<string>, output: "inherit" | "pipe"): ChildProcess =>
  spawn(process.execPath, [AGENT, ...args], { stdio: ["ignore", output, "inherit"] })

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve) => child.once("close", (code, signal) => resolve(code ?? (signal === null ? 1 : 128))))

/** Runs a command and shows it; the demo ends where a command fails. */
const run = async (...args: ReadonlyArray<string>): Promise<void> => {
  say(`\n$ agent ${args.join(" ")}`)
  const code = await ended(agent(args, "inherit"))
  if (code !== 0) throw new Error(`agent ${args.join(" ")} ended with ${code}`)
}

const onLines = (child: ChildProcess, listener: (line: string) => void) => {
  if (child.stdout !== null) createInterface({ input: child.stdout }).on("line", listener)
}

/** What a command prints, byte for byte (one character each): places in the guest's console are told in bytes. */
const capture = async (...args: ReadonlyArray<string>): Promise<string> => {
  const child = agent(args, "pipe")
  const parts: Array<Buffer> = []
  child.stdout?.on("data", (part: Buffer) => parts.push(part))
  const code = await ended(child)
  if (code !== 0) throw new Error(`agent ${args.join(" ")} ended with ${code}`)
  return Buffer.concat(parts).toString("latin1")
}

const STATE = `/var/lib/liveupdate/vms/${VM}`
const CONSOLE = `${STATE}/console.log`

/** The guest ticks five times a second; on a busy machine that is emulated twice over it may need this long for one. */
const SILENCE_MS = 60_000

/**
 * Follows the guest's console, from a byte of it on, until `enough` says so of what was read; fails when the host is lost
 * to the next kernel before, and when the guest says nothing for a minute.
 */
const watch = (from: number, enough: (console: string) => boolean, show: (line: string) => boolean) => {
  const tail = ["tail", "-c", `+${from + 1}`, "-f", CONSOLE]
  const child = spawn(process.execPath, [AGENT, "host", "exec", "--name", HOST, "--", ...tail], {
    stdio: ["ignore", "pipe", "ignore"]
  })
  const seen: Array<string> = []
  const reached = new Promise<string>((resolve, reject) => {
    const silence = setTimeout(() => {
      child.kill("SIGTERM")
      reject(new Error(`the guest has said nothing for ${SILENCE_MS / 1000} s`))
    }, SILENCE_MS).unref()
    let there = false
    onLines(child, (line) => {
      seen.push(line)
      if (show(line)) say(`  guest │ ${line}`)
      there ||= enough(seen.join("\n"))
      if (!there) return void silence.refresh()
      clearTimeout(silence)
      resolve(seen.join("\n"))
    })
    child.once("close", () => reject(new Error("the guest's console ended before what was expected of it")))
  })
  return { reached, stop: () => child.kill("SIGTERM") }
}

/** Every fifth tick is enough for a reader. */
const everyFifthTick = (line: string) => /^tick \d*[05] /.test(line)

const upgrade = async (kernel: string): Promise<ReadonlyArray<Event.Event>> => {
  const args = ["upgrade", "--vm", VM, "--kernel", kernel, "--host", `qemu:${HOST}`, "--output", "ndjson"]
  say(`\n$ agent ${args.join(" ")}`)
  const child = agent(args, "pipe")
  const events: Array<Event.Event> = []
  onLines(child, (line) => {
    const event = Event.parse(line)
    if (event === undefined) return
    events.push(event)
    if (event.type === "step" && event.status === (event.step === "jump" ? "started" : "done"))
      say(`  ${elapsed().padStart(7)} │ ${event.vm ?? "host"}: ${event.step}`)
  })
  const code = await ended(child)
  if (code !== 0) throw new Error(`agent ${args.join(" ")} ended with ${code}`)
  return events
}

/** What is known of a guest that did not come through, before the host goes and takes it along. */
const tellWhatIsKnown = async (): Promise<void> => {
  const script = `uname -r; for f in ${STATE}/qemu.log ${CONSOLE}; do echo "-- $f"; tail -n 30 "$f"; done; echo "-- dmesg"; dmesg | tail -n 30`
  const text = await capture("host", "exec", "--name", HOST, "--", "sh", "-c", script)
  process.stderr.write(`\ndemo: the guest did not come through. The host, its VMM and the guest said last:\n${text}\n`)
}

const consoleBytes = (events: ReadonlyArray<Event.Event>): number => {
  const pause = events.find((event) => event.type === "step" && event.step === "pause" && event.status === "done")
  const bytes = pause?.type === "step" ? pause.detail?.["consoleBytes"] : undefined
  if (typeof bytes !== "number") throw new Error("the run doesn't say where the guest's console was at the pause")
  return bytes
}

const demo = async (): Promise<boolean> => {
  await run("host", "start", HOST)
  try {
    await run("vm", "start", SPEC, "--host", `qemu:${HOST}`)

    say("\nThe guest counts:")
    const before = watch(0, (log) => GuestLog.ticks(log).length >= 10, everyFifthTick)
    await before.reached

    const kernels = await capture("host", "exec", "--name", HOST, "--", "sh", "-c", "uname -r; ls /boot")
    const [from = "", ...images] = kernels.trim().split("\n")
    const next =
      images.find((image) => image.startsWith("vmlinuz-") && image !== `vmlinuz-${from}`) ?? `vmlinuz-${from}`
    const events = await upgrade(`/boot/${next}`)
    before.stop()

    say("\nThe guest counts on:")
    const line = TimeLine.make(events)
    if (line === undefined) throw new Error("the run's events make no time line")
    const jumped = consoleBytes(events)
    // Two complete passes: the second one began after the jump and read every word of the pattern.
    const after = watch(jumped, (log) => GuestLog.passes(log) >= 2, everyFifthTick)
    await after.reached
    after.stop()

    const log = await capture("host", "exec", "--name", HOST, "--", "cat", CONSOLE)
    const verdict = GuestLog.judge(log, jumped)
    const [blackout] = line.blackouts
    say(`\n${TimeLine.render(line)}\n`)
    say(`  host's kernel       ${line.from} → ${line.to}`)
    say(`  last tick before    ${verdict.lastBefore?.text}`)
    say(`  first tick after    ${verdict.firstAfter?.text}`)
    say(`  ticks               ${verdict.ticks} in a row, ${verdict.missing} missing, ${verdict.repeated} repeated`)
    say(
      `  guest's memory      ${verdict.patternBytes} bytes of pattern verified after the jump, ${verdict.badBytes} bad`
    )
    say(`  guest runs on       ${verdict.hypervisor}`)
    say(`  blackout            ${Math.round(blackout?.total ?? 0)} ms`)
    say(`  demo took           ${elapsed()}`)
    const sound = verdict.sound && line.from !== line.to
    if (!sound) await tellWhatIsKnown()
    return sound
  } catch (error) {
    await tellWhatIsKnown().catch(() => undefined)
    throw error
  } finally {
    await run("host", "stop", HOST)
  }
}

demo().then(
  (sound) => {
    if (!sound) process.stderr.write("demo: the guest did not come through unharmed\n")
    process.exit(sound ? 0 : 1)
  },
  (error: unknown) => {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
)
