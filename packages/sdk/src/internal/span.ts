import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"

const nobody = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/**
 * A span for a request that may come by the thousand, where somebody collects spans. Effect's own tracer does nothing with
 * them, and a span costs several times what the request does.
 */
export const span =
  (name: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.tracerWith((tracer) =>
      tracer === nobody ? effect : Effect.withSpan(effect, name, { captureStackTrace: false })
    )
