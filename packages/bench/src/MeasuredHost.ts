/**
 * On what a benchmark was run: asked of the host, and of the machine that it runs on.
 *
 * @since 0.1.0
 */
import * as Os from "node:os"
import * as Channel from "@liveupdate/qemu-host/Channel"
import type { RunningHost } from "@liveupdate/qemu-host/Machine"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Results from "./Results.ts"

/**
 * Of this machine, over the last minute.
 *
 * @since 0.1.0
 * @category getters
 */
export const load: Effect.Effect<number> = Effect.sync(() => Os.loadavg()[0] ?? Number.NaN)

/**
 * @since 0.1.0
 * @category getters
 */
export const about = Effect.fn("MeasuredHost.about")(function* (host: RunningHost, loadBefore: number) {
  const channel = yield* Channel.Channel
  const said = (...argv: readonly [string, ...Array<string>]) =>
    Effect.map(channel.output(host.address, argv), (text) => text.trim())
  const now = yield* Clock.currentTimeMillis
  return new Results.About({
    date: new Date(now).toISOString().slice(0, 10),
    kernel: (yield* said("uname", "-r")).replace(/-host-.*$/, ""),
    node: (yield* said("/usr/lib/liveupdate/node", "--version")).replace(/^v/, ""),
    accelerator: host.accelerator,
    memoryMiB: host.memoryMiB,
    cores: Os.availableParallelism(),
    load: [loadBefore, yield* load]
  })
})
