/**
 * What systemd's journal has of a live update: one record for each event that a phase begins or ends with, and one for how it ended. Pure.
 *
 * @since 0.1.0
 */
import type * as SdJournal from "@liveupdate/sdk/SdJournal"
import type { Event } from "./Event.ts"

/**
 * `MESSAGE_ID` of what happened to a step, or of how a run ended. They never change: `journalctl MESSAGE_ID=…` finds them, and
 * `systemd/liveupdate.catalog` explains them.
 *
 * @since 0.1.0
 * @category constants
 */
export const messageIds = {
  started: "7f267fa8d6a94172a557e388cefbe64c",
  done: "5f780cef556a420ab310d835987cdcce",
  failed: "7a5f53e09ef14e508d96665b0e90bacb",
  undone: "e7575b48edac475db8b82af8514c9645",
  upgraded: "0ca717061cf847e1978e40726f672e43",
  "rolled-back": "86c70e9930374650ada00ff38d2b9cfa",
  "dry-run": "1ee97685c17c48acb5281b9cd71f0223",
  "needs-operator": "69aeeda9a3a94936a8558dfaae348ccf",
  "cold-boot": "768b69b720a74fbcb59782975f9ca52b",
  lost: "b2c8c34b2e244bf9aab10849952b8a59"
} as const

type Step = Extract<Event, { type: "step" }>
type Outcome = Extract<Event, { type: "outcome" }>

/** As in syslog(3). */
const priorities: Readonly<Record<keyof typeof messageIds, number>> = {
  started: 7,
  done: 6,
  failed: 3,
  undone: 5,
  upgraded: 5,
  "rolled-back": 4,
  "dry-run": 6,
  "needs-operator": 2,
  "cold-boot": 2,
  lost: 2
}

const sentenceOf = ({ step, status, vm, detail }: Step): string => {
  const reason = status === "failed" && detail?.["reason"] !== undefined ? `: ${detail["reason"]}` : ""
  return `${vm ?? "host"}: ${step} ${status}${reason}`
}

/**
 * The record's fields; `undefined` for an event that is for programs only.
 *
 * @since 0.1.0
 * @category pure
 */
export const make = (event: Event): SdJournal.Fields | undefined => {
  if (event.type === "clock") return undefined
  const kind = event.type === "step" ? event.status : event.result
  const { run, boot, monotonic, detail } = event
  return {
    MESSAGE: event.type === "step" ? sentenceOf(event) : (event as Outcome).message,
    MESSAGE_ID: messageIds[kind],
    PRIORITY: priorities[kind],
    SYSLOG_IDENTIFIER: "liveupdate",
    LIVEUPDATE_RUN: run,
    LIVEUPDATE_BOOT: boot,
    LIVEUPDATE_MONOTONIC_MS: monotonic,
    LIVEUPDATE_STEP: event.type === "step" ? event.step : undefined,
    LIVEUPDATE_VM: event.type === "step" ? event.vm : undefined,
    LIVEUPDATE_STATUS: kind,
    LIVEUPDATE_DETAIL: detail === undefined ? undefined : JSON.stringify(detail)
  }
}
