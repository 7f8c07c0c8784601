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

/** The host went through the jump, and the next kernel couldn't read what was handed over. */
export const lost = [
  ...cutShort,
  event("old", 1090, { type: "clock", offset: 1000, uncertainty: 1 }),
  event("old", 1100, { step: "jump", status: "started" }),
  event("new", 500, { type: "clock", offset: 2000, uncertainty: 1 }),
  event("new", 500, { step: "retrieve", status: "started", vm: "a" }),
  event("new", 501, { step: "retrieve", status: "failed", vm: "a", detail: { reason: "it can't be read" } }),
  event("new", 502, { type: "outcome", result: "lost", message: "the memory of a is lost" })
]

/** Nothing was paused yet. */
export const begun = [
  preflight("a"),
  event("old", 1000, { step: "load-kernel", status: "started" }),
  event("old", 1100, { step: "load-kernel", status: "done" })
]
