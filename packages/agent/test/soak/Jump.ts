/** One live update of all guests of a host, and what it cost. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TimeLine from "../../src/upgrade/TimeLine.ts"
import * as GuestConsole from "../e2e/GuestConsole.ts"
import * as TestHost from "../e2e/TestHost.ts"

export interface Jump {
  readonly from: string
  readonly to: string
  readonly bootId: string
  /** Milliseconds that each guest stood still. */
  readonly blackouts: ReadonlyArray<number>
  /** The agent before the jump, and after it. */
  readonly before: Cost
  readonly after: Cost
  /** What the kernel counts and hands on: jumps since the machine was switched on. */
  readonly kexecs: number
  readonly liveUpdates: number
}

interface Cost {
  readonly peakMiB: number
  readonly openFiles: number
}

/** Reads what `HostFacts.processCost` has left in an event. */
const costOf = (detail: Readonly<Record<string, unknown>> | undefined): Cost => {
  const [peakMiB, openFiles] = [Number(detail?.["peakResidentKiB"]) / 1024, Number(detail?.["openFiles"])]
  assert.isAbove(peakMiB, 0)
  assert.isAbove(openFiles, 0)
  return { peakMiB, openFiles }
}

/** Goes to the kernel of this image; returns when every guest ticks there and the host has nothing left to do. */
export const to = (image: string, vms: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const host = yield* TestHost.TestHost
    const ticks = yield* Effect.forEach(vms, (vm) => Effect.map(host.console(vm), GuestConsole.lastTick))
    const events = TestHost.eventsOf(yield* host.agent("upgrade", "--all", "--kernel", image, "--output", "ndjson"))
    yield* host.booted
    yield* host.keeperGone
    for (const [index, vm] of vms.entries()) {
      yield* host.waitForTick(vm, (ticks[index] ?? 0) + 1)
      yield* host.waitForTick(vm)
    }
    const line = TimeLine.make(events) ?? assert.fail("no time line")
    const jumps = events.flatMap((event) => (event.type === "step" && event.step === "jump" ? [event] : []))
    const outcomes = events.flatMap((event) => (event.type === "outcome" ? [event] : []))
    assert.deepStrictEqual(
      [...jumps.map(({ status }) => status), ...outcomes.map(({ result }) => result)],
      ["started", "upgraded"]
    )
    assert.deepStrictEqual(line.blackouts.map(({ vm }) => vm).sort(), [...vms].sort())
    const kernelLog = yield* host.output("dmesg")
    return {
      from: line.from,
      to: line.to,
      bootId: yield* host.bootId,
      blackouts: vms.map((vm) => line.blackouts.find((blackout) => blackout.vm === vm)?.total ?? Number.NaN),
      before: costOf(jumps[0]?.detail),
      after: costOf(outcomes[0]?.detail),
      // kernel/liveupdate/kexec_handover.c; kernel/liveupdate/luo_core.c
      kexecs: Number(/KHO: exec from: \S+ \(count (\d+)\)/.exec(kernelLog)?.[1]),
      liveUpdates: Number(/luo: Retrieved live update data, liveupdate number: (\d+)/.exec(kernelLog)?.[1])
    } satisfies Jump
  })
