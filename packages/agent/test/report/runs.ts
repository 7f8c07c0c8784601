import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import * as Event from "../../src/upgrade/Event.ts"

/** The log of a live update of three VMs, as a host has written it. */
export const recorded = readFileSync(fileURLToPath(new URL("three-vms.ndjson", import.meta.url)), "utf8")

export const threeVms = Event.parseLines(recorded.split("\n"))

/** An event of a run that nobody has seen. */
export const event = (boot: string, monotonic: number, more: Record<string, unknown>): Event.Event =>
  Event.parse(JSON.stringify({ version: 1, run: "r", boot, monotonic, type: "step", ...more })) ??
  assert.fail(`no event: ${JSON.stringify(more)}`)

const preflight = (...vms: ReadonlyArray<string>) =>
  event("old", 900, { step: "preflight", status: "done", detail: { from: "7.2.13", to: "7.3.4", vms } })

/** A state that couldn't be saved: the guest stood still for 300 ms. */
export const rolledBack = (vm = "a", message = "it was undone") => [
  preflight(vm),
  event("old", 1000, { step: "pause", status: "started", vm }),
  event("old", 1010, { step: "pause", status: "done", vm }),
  event("old", 1020, { step: "save-state", status: "started", vm }),
  event("old", 1220, { step: "save-state", status: "failed", vm, detail: { reason: "no room" } }),
  event("old", 1300, { step: "pause", status: "undone", vm }),
  event("old", 1400, { type: "outcome", result: "rolled-back", message })
]

/** A loss of power while the guest stood still. */
export const cutShort = [
  preflight("a"),
  event("old", 1000, { step: "pause", status: "started", vm: "a" }),
  event("old", 1010, { step: "pause", status: "done", vm: "a" })
]

/** Nothing was paused yet. */
export const begun = [
  preflight("a"),
  event("old", 1000, { step: "load-kernel", status: "started" }),
  event("old", 1100, { step: "load-kernel", status: "done" })
]
