/** A QEMU host whose kernel is asked the same things as the model, by a program that runs inside. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert } from "@effect/vitest"
import * as Channel from "@liveupdate/qemu-host/Channel"
import * as QemuHost from "@liveupdate/qemu-host/QemuHost"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Hosts from "../../../agent/src/cli/Hosts.ts"
import * as KernelLog from "../../../agent/test/e2e/KernelLog.ts"
import * as ProgramBundle from "../../../agent/test/e2e/ProgramBundle.ts"
import * as TestHost from "../../../agent/test/e2e/TestHost.ts"
import type { Profile } from "../../../sdk/src/SimulatedHost.ts"

/** Profiles of the model that a host can be built for. */
export type Built = Exclude<Profile, "6.19">

const flavours = { "7.2": "older", "7.3": undefined, handlers: "handlers" } as const

export class ConformanceHost extends Context.Tag("@liveupdate/conformance/test/e2e/ConformanceHost")<
  ConformanceHost,
  {
    readonly profile: Built
    /** What the kernel had to say that it shouldn't have. */
    readonly complaints: Effect.Effect<ReadonlyArray<string>>
    readonly release: Effect.Effect<string>
    readonly write: (path: string, content: string | Uint8Array) => Effect.Effect<void>
    /** Runs the program inside to its end; its lines. */
    readonly run: (...args: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<unknown>>
    /** Runs it until it has taken the host into the kernel whose image is appended to the arguments. */
    readonly runAndJump: (...args: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<unknown>>
  }
>() {}

const program = ProgramBundle.inside("conformance")

const make = Effect.fnUntraced(function* (profile: Built) {
  const hosts = yield* QemuHost.QemuHost
  const channel = yield* Channel.Channel
  const name = `conformance-${process.pid}`
  const handlers = profile === "handlers"
  yield* Effect.addFinalizer(() => Effect.ignore(hosts.stop(name)))
  const bundle = ProgramBundle.make(new URL("../../src/program.ts", import.meta.url))
  // While the host boots.
  yield* Effect.forkScoped(bundle)
  const { address } = yield* hosts.start(name, {
    payload: yield* Hosts.payload,
    flavour: flavours[profile],
    passthrough: handlers,
    append: TestHost.appendOf(flavours[profile])
  })

  const write = (path: string, content: string | Uint8Array) =>
    Effect.orDie(channel.push(address, Stream.make(new Uint8Array(Buffer.from(content))), path, 0o600))
  yield* write(program, yield* bundle)

  /** systemd and the agent use the device at boot, too, and there is only one opener. */
  const deviceIsFree = Effect.orDie(channel.output(address, TestHost.resumeEnded))
  yield* deviceIsFree

  const release = Effect.map(Effect.orDie(channel.output(address, ["uname", "-r"])), (text) => text.trim())
  const parse = (lines: Iterable<string>): ReadonlyArray<unknown> => Array.from(lines, (line) => JSON.parse(line))

  /** What it said and how it ended, be it by a jump. */
  const start = (args: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const child = yield* channel.exec(address, [
        ...ProgramBundle.node,
        program,
        handlers ? "handlers" : "mainline",
        ...args
      ])
      const [lines, stderr, end] = yield* Effect.all(
        [
          Stream.runCollect(Channel.lines(child.stdout)),
          Channel.text(child.stderr),
          child.exit.pipe(
            Effect.map((status) => (status._tag === "Exited" ? status.code : -status.signal)),
            Effect.catchTag("HostRebooted", () => Effect.succeed("jumped" as const))
          )
        ],
        { concurrency: "unbounded" }
      )
      return { lines: parse(lines), stderr, end }
    }).pipe(Effect.scoped, Effect.orDie)

  return {
    profile,
    complaints: Effect.map(
      (handlers ? KernelLog.complaints : KernelLog.warnings)((...argv) => Effect.orDie(channel.output(address, argv))),
      // Mainline's own, and provoked by a scenario: of a memfd of 2^28 pages it wants a list that is longer than INT_MAX bytes, and warns
      // (memfd_luo_preserve_folios in mm/memfd_luo.c, __kvmalloc_node_noprof in mm/slub.c).
      (lines) => lines.filter((line) => !line.includes("__kvmalloc_node_noprof"))
    ),
    release,
    write,
    run: (...args) =>
      Effect.map(start(args), ({ end, lines, stderr }) => {
        assert.strictEqual(end, 0, stderr)
        return lines
      }),
    runAndJump: (...args) =>
      Effect.gen(function* () {
        const images = Effect.orDie(channel.output(address, ["sh", "-c", "ls /boot/vmlinuz-*"]))
        const running = `/boot/vmlinuz-${yield* release}`
        const image =
          (yield* images)
            .trim()
            .split("\n")
            .find((path) => path !== running) ?? running
        // Nothing is unmounted: what isn't on the disk by now, such as the program itself, is lost.
        yield* Effect.orDie(channel.output(address, ["sync"]))
        const { end, lines, stderr } = yield* start([...args, image])
        assert.strictEqual(end, "jumped", stderr)
        yield* deviceIsFree
        return lines
      })
  } satisfies ConformanceHost["Type"]
})

export const layer = (profile: Built) =>
  Layer.scoped(ConformanceHost, make(profile)).pipe(Layer.provide(Hosts.layer), Layer.provide(NodeContext.layer))
