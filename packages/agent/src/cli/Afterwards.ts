/**
 * What no guest waits for after `agent resume`: others are to be told of it, VMMs get their places, and the journal hears what happened. The first process's comes before
 * systemd, and waits for it with nothing in hand any more.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as JournalLog from "../upgrade/JournalLog.ts"
import * as Slice from "../vmm/Slice.ts"

/** From systemd's start to its journal's; a slow machine needs some seconds. */
const PATIENCE = Duration.minutes(2)

/**
 * @since 0.1.0
 * @category running
 */
export const run = ({
  beforeSystemd = false,
  told
}: {
  readonly beforeSystemd?: boolean
  /** Notes what others are to be told of. */
  readonly told: Effect.Effect<void>
}) =>
  Effect.all([told, JournalLog.catchUp(beforeSystemd ? PATIENCE : Duration.zero), Slice.placeAll], { discard: true })
