/**
 * What is said to a keeper and what it answers. Every message begins with u32 length (of the whole), u16 version, u16 kind,
 * little-endian; one request per connection, one answer. A session's descriptor travels with the message (SCM_RIGHTS), never
 * in it.
 *
 * | kind | message    | rest                                                | descriptors |
 * |------|------------|-----------------------------------------------------|-------------|
 * | 1    | hold       | session                                             | 1           |
 * | 2    | claim      | session                                             | 0           |
 * | 3    | release    | session                                             | 0           |
 * | 4    | list       | session after which to go on, or nothing            | 0           |
 * | 128  | done       |                                                     | claim: 1    |
 * | 129  | unknown    | nothing is held under that name                     | 0           |
 * | 130  | listed     | u32 pid, u8 more, then per session u8 length, bytes | 0           |
 * | 131  | refused    | why                                                 | 0           |
 */
import { isUtf8 } from "node:buffer"

export const VERSION = 1

/** Bytes of a whole message; a socket takes as much at once. */
export const MAX_LENGTH = 4096

const HEADER = 8

/** Bytes of a session's name, without its NUL (LIVEUPDATE_SESSION_NAME_LENGTH). */
const MAX_NAME = 63

export type Request =
  | { readonly kind: "hold" | "claim" | "release"; readonly session: string }
  | { readonly kind: "list"; readonly after: string }

export type Answer =
  | { readonly kind: "done" }
  | { readonly kind: "unknown" }
  | { readonly kind: "listed"; readonly pid: number; readonly more: boolean; readonly sessions: ReadonlyArray<string> }
  | { readonly kind: "refused"; readonly reason: string }

/** What bytes are: a message, the beginning of one, or nothing that could become one. */
export type Decoded<A> =
  | { readonly _tag: "whole"; readonly message: A }
  | { readonly _tag: "partial" }
  | { readonly _tag: "malformed"; readonly reason: string }

const kinds = { hold: 1, claim: 2, release: 3, list: 4, done: 128, unknown: 129, listed: 130, refused: 131 } as const

const frame = (kind: keyof typeof kinds, rest: Buffer): Buffer => {
  const header = Buffer.alloc(HEADER)
  header.writeUInt32LE(HEADER + rest.length, 0)
  header.writeUInt16LE(VERSION, 4)
  header.writeUInt16LE(kinds[kind], 6)
  return Buffer.concat([header, rest])
}

export const encodeRequest = (request: Request): Buffer =>
  frame(request.kind, Buffer.from(request.kind === "list" ? request.after : request.session, "utf8"))

export const encodeAnswer = (answer: Answer): Buffer => {
  switch (answer.kind) {
    case "done":
    case "unknown":
      return frame(answer.kind, Buffer.alloc(0))
    case "refused":
      return frame(answer.kind, Buffer.from(answer.reason, "utf8"))
    case "listed": {
      const head = Buffer.alloc(5)
      head.writeUInt32LE(answer.pid, 0)
      head.writeUInt8(answer.more ? 1 : 0, 4)
      const names = answer.sessions.flatMap((session) => {
        const name = Buffer.from(session, "utf8")
        return [Buffer.from([name.length]), name]
      })
      return frame("listed", Buffer.concat([head, ...names]))
    }
  }
}

/** As many names as one answer has room for; all of them are sorted. */
export const page = (pid: number, sessions: ReadonlyArray<string>): Answer => {
  let room = MAX_LENGTH - HEADER - 5
  const fitting = sessions.findIndex((session) => {
    room -= 1 + Buffer.byteLength(session, "utf8")
    return room < 0
  })
  return fitting === -1
    ? { kind: "listed", pid, more: false, sessions }
    : { kind: "listed", pid, more: true, sessions: sessions.slice(0, fitting) }
}

const malformed = (reason: string) => ({ _tag: "malformed", reason }) as const
const whole = <A>(message: A): Decoded<A> => ({ _tag: "whole", message })

const decode = <A>(bytes: Buffer, read: (kind: number, rest: Buffer) => Decoded<A>): Decoded<A> => {
  if (bytes.length < HEADER) return { _tag: "partial" }
  const length = bytes.readUInt32LE(0)
  const version = bytes.readUInt16LE(4)
  if (version !== VERSION) return malformed(`version ${version} is not spoken here, only ${VERSION}`)
  if (length < HEADER || length > MAX_LENGTH) return malformed(`a length of ${length} bytes`)
  if (bytes.length > length) return malformed("more than one message")
  if (bytes.length < length) return { _tag: "partial" }
  return read(bytes.readUInt16LE(6), bytes.subarray(HEADER))
}

const isName = (bytes: Buffer): boolean =>
  bytes.length > 0 && bytes.length <= MAX_NAME && !bytes.includes(0) && isUtf8(bytes)

const readRequest = (kind: number, rest: Buffer): Decoded<Request> => {
  if (!isName(rest) && !(kind === kinds.list && rest.length === 0)) return malformed("no session's name")
  const session = rest.toString("utf8")
  switch (kind) {
    case kinds.hold:
      return whole({ kind: "hold", session })
    case kinds.claim:
      return whole({ kind: "claim", session })
    case kinds.release:
      return whole({ kind: "release", session })
    case kinds.list:
      return whole({ kind: "list", after: session })
    default:
      return malformed(`a request of kind ${kind}`)
  }
}

const readSessions = (rest: Buffer): ReadonlyArray<string> | undefined => {
  const sessions: Array<string> = []
  for (let at = 0; at < rest.length; ) {
    const length = rest.readUInt8(at)
    const name = rest.subarray(at + 1, at + 1 + length)
    if (name.length !== length || !isName(name)) return undefined
    sessions.push(name.toString("utf8"))
    at += 1 + length
  }
  return sessions
}

const readAnswer = (kind: number, rest: Buffer): Decoded<Answer> => {
  switch (kind) {
    case kinds.done:
      return whole({ kind: "done" })
    case kinds.unknown:
      return whole({ kind: "unknown" })
    case kinds.refused:
      return whole({ kind: "refused", reason: rest.toString("utf8") })
    case kinds.listed: {
      const sessions = rest.length < 5 ? undefined : readSessions(rest.subarray(5))
      if (sessions === undefined) return malformed("a list that is cut off")
      return whole({ kind: "listed", pid: rest.readUInt32LE(0), more: rest.readUInt8(4) !== 0, sessions })
    }
    default:
      return malformed(`an answer of kind ${kind}`)
  }
}

export const decodeRequest = (bytes: Buffer): Decoded<Request> => decode(bytes, readRequest)

export const decodeAnswer = (bytes: Buffer): Decoded<Answer> => decode(bytes, readAnswer)
