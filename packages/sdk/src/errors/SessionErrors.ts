/**
 * Answers about a session: its name, its life, its end.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { origin, sentence } from "./Origin.ts"

/**
 * An outgoing session of this name exists (`luo_session_insert` in `kernel/liveupdate/luo_session.c`).
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionExists extends Schema.TaggedError<SessionExists>()("SessionExists", origin) {
  get next(): string {
    return "Choose another name, or let the process that holds it close it"
  }
  override get message(): string {
    return sentence(this, "A session of this name exists")
  }
}

/**
 * No session of this name was handed over by the previous kernel (`luo_session_retrieve` in
 * `kernel/liveupdate/luo_session.c`), or it is finished.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", origin) {
  get next(): string {
    return "Check the name; dmesg | grep -i luo says whether anything was handed over"
  }
  override get message(): string {
    return sentence(this, "The previous kernel handed over no session of this name")
  }
}

/**
 * The session was retrieved before (`luo_session_retrieve` in `kernel/liveupdate/luo_session.c`); whoever did it holds the
 * only way to it.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionAlreadyRetrieved extends Schema.TaggedError<SessionAlreadyRetrieved>()(
  "SessionAlreadyRetrieved",
  origin
) {
  get next(): string {
    return "Ask the process that works on it, or whoever has custody of it (Custody.list); one that was closed unfinished can't be retrieved again"
  }
  override get message(): string {
    return sentence(this, "The session was retrieved before in this boot")
  }
}

/**
 * The name is empty, longer than 63 bytes of UTF-8, or holds a NUL (LIVEUPDATE_SESSION_NAME_LENGTH in
 * `include/uapi/linux/liveupdate.h`). Found before the kernel is asked.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidSessionName extends Schema.TaggedError<InvalidSessionName>()("InvalidSessionName", origin) {
  get next(): string {
    return "Use 1 to 63 bytes of UTF-8 without NUL"
  }
  override get message(): string {
    return sentence(this, "Not a session name")
  }
}

/**
 * A file of the session can't be finished yet; nothing was finished and it may be tried again (`luo_file_finish` in
 * `kernel/liveupdate/luo_file.c` asks every file's `can_finish` first).
 *
 * @since 0.1.0
 * @category errors
 */
export class FinishRefused extends Schema.TaggedError<FinishRefused>()("FinishRefused", origin) {
  get next(): string {
    return "Complete what its kind asks for (a VFIO device must be bound to its iommufd), then finish again"
  }
  override get message(): string {
    return sentence(this, "A file of the session can't be finished yet, so none was")
  }
}
