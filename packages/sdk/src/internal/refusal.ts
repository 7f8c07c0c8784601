import * as Effect from "effect/Effect"
import { type LiveUpdateError, NotPreservable, type Operation, type Reason, type Subject } from "../LiveUpdateError.ts"

interface Options {
  /** What the kernel said, if it was asked. */
  readonly errno?: string
  readonly operation?: Operation
}

/** Fails with `NotPreservable`. */
export const refuse = (
  reasons: readonly [Reason, ...ReadonlyArray<Reason>],
  subject: Subject,
  { errno = "none", operation = "session.preserve" }: Options = {}
): Effect.Effect<never, LiveUpdateError> => Effect.fail(new NotPreservable({ ...subject, operation, errno, reasons }))

/** Fails with `NotPreservable` when there is a reason. */
export const unlessNone = (
  reasons: ReadonlyArray<Reason>,
  subject: Subject,
  options: Options = {}
): Effect.Effect<void, LiveUpdateError> => {
  const [first, ...rest] = reasons
  return first === undefined ? Effect.void : refuse([first, ...rest], subject, options)
}

/** A reason, if it holds: for lists of them. */
export const when = (holds: boolean, reason: Reason): ReadonlyArray<Reason> => (holds ? [reason] : [])
