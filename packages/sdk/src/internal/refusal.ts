import * as Effect from "effect/Effect"
import { type LiveUpdateError, NotPreservable, type Operation, type Reason, type Subject } from "../LiveUpdateError.ts"

/** Fails with `NotPreservable` when there is a reason; `errno` is what the kernel said, if it was asked. */
export const unlessNone = (
  reasons: ReadonlyArray<Reason>,
  subject: Subject,
  { errno = "none", operation = "session.preserve" }: { readonly errno?: string; readonly operation?: Operation } = {}
): Effect.Effect<void, LiveUpdateError> => {
  const [first, ...rest] = reasons
  return first === undefined
    ? Effect.void
    : Effect.fail(new NotPreservable({ ...subject, operation, errno, reasons: [first, ...rest] }))
}

/** A reason, if it holds: for lists of them. */
export const when = (holds: boolean, reason: Reason): ReadonlyArray<Reason> => (holds ? [reason] : [])
