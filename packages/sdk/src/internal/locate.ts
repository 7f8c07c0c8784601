import * as Schema from "effect/Schema"
import { LiveUpdateError, type Subject } from "../LiveUpdateError.ts"

const encode = Schema.encodeSync(LiveUpdateError)
const decode = Schema.decodeSync(LiveUpdateError)

/** The same error with more said about where it was: a handle's own check knows no session and no token. */
export const locate = (
  error: LiveUpdateError,
  { token, ...subject }: Omit<Subject, "kind" | "path">
): LiveUpdateError =>
  decode({ ...encode(error), ...subject, ...(token === undefined ? {} : { token: token.toString() }) })
