import type { LiveUpdateError } from "@liveupdate/sdk/LiveUpdateError"
import * as Effect from "effect/Effect"

/** The error's tag and its errno, or the reasons where it has some. */
export const said = (error: LiveUpdateError): string =>
  error._tag === "NotPreservable" ? `${error._tag}: ${error.reasons.join(" ")}` : `${error._tag} ${error.errno}`

/** How it ended: `ok`, or what is said of the error. */
export const outcome = <A, R>(
  effect: Effect.Effect<A, LiveUpdateError, R>,
  say: (error: LiveUpdateError) => string = said
): Effect.Effect<string, never, R> => Effect.match(effect, { onFailure: say, onSuccess: () => "ok" })
