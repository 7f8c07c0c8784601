/**
 * What a command says: results on stdout, progress on stderr; with `--output ndjson` everything that a program wants is a
 * line of JSON on stdout.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Event } from "../upgrade/Event.ts"
import type { Resumed } from "../upgrade/Resume.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Format = "human" | "ndjson"

const writeLine = (stream: NodeJS.WriteStream, line: string) => void stream.write(`${line}\n`)

/**
 * A command's result: text for people, a record for programs.
 *
 * @since 0.1.0
 * @category output
 */
export const result = (format: Format, text: string, record: Readonly<Record<string, unknown>>): Effect.Effect<void> =>
  Effect.sync(() => writeLine(process.stdout, format === "ndjson" ? JSON.stringify({ version: 1, ...record }) : text))

/**
 * What `agent resume` has done, for a person.
 *
 * @since 0.1.0
 * @category output
 */
export const sentence = (resumed: Resumed): string => {
  switch (resumed._tag) {
    case "nothing":
      return "Nothing to resume: no live update is waiting."
    case "recovered":
      return `The live update ${resumed.run} was interrupted before its jump; running again: ${resumed.vms.join(", ")}.`
    case "cold-boot":
      return `The host went down during the live update ${resumed.run}, and its guests with it: ${resumed.vms.join(", ")}. Start them again: agent vm start.`
    case "upgraded":
      return `The live update ${resumed.run} is done; running on: ${resumed.vms.join(", ")}.`
  }
}

/**
 * What `agent resume` has done.
 *
 * @since 0.1.0
 * @category output
 */
export const resumed = (format: Format, resumed: Resumed): Effect.Effect<void> =>
  result(format, sentence(resumed), { type: "resumed", ...resumed })

/**
 * A size in bytes, for a person.
 *
 * @since 0.1.0
 * @category output
 */
export const mebibytes = (bytes: number): string => `${Math.round(bytes / 1048576)} MiB`

const sentences = {
  preflight: "checked the host, the VMs and the next kernel",
  "load-kernel": "loaded the next kernel",
  prepare: "prepared the start of the second half",
  "preserve-running": "preserved guest RAM while the guest runs",
  sync: "wrote dirty pages to the disks",
  pause: "paused",
  "save-state": "saved the device state",
  "preserve-state": "preserved the device state",
  jump: "jumping",
  boot: "the next kernel is up",
  retrieve: "retrieved guest RAM and device state",
  "start-vmm": "started the VMM",
  "load-state": "loaded the device state",
  resume: "runs again",
  verify: "is alive",
  finish: "finished the session",
  recover: "runs again after an interrupted live update",
  hook: "ran the operator's hook"
} as const

const describeStep = (event: Extract<Event, { type: "step" }>): string | undefined => {
  const who = event.vm === undefined ? "host" : event.vm
  switch (event.status) {
    case "started":
      return event.step === "jump" ? `${who}: ${sentences.jump} …` : undefined
    case "done":
      return `${who}: ${sentences[event.step]}`
    case "failed":
      // The command's last line says it, with what to do.
      return undefined
    case "undone":
      return `${who}: ${event.step} undone, runs again`
  }
}

/**
 * An event as a line for a person; `undefined` if there is nothing to say about it.
 *
 * @since 0.1.0
 * @category output
 */
export const lineOf = (event: Event): string | undefined => (event.type === "step" ? describeStep(event) : undefined)

/**
 * Shows events of a run as they come.
 *
 * @since 0.1.0
 * @category output
 */
export const eventListener = (format: Format): ((event: Event) => void) => {
  if (format === "ndjson") return (event) => writeLine(process.stdout, JSON.stringify(event))
  return (event) => {
    const text = lineOf(event)
    if (text !== undefined) writeLine(process.stderr, text)
  }
}
