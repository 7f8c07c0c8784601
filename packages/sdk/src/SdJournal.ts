/**
 * Records for systemd's journal with fields of their own, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram each.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Notification from "./internal/notification.ts"
import * as UnixSocket from "./internal/unixSocket.ts"

/**
 * Where the journal listens.
 *
 * @since 0.1.0
 * @category constants
 */
export const socket = "/run/systemd/journal/socket"

/**
 * Names are upper case, digits and "_"; one that is `undefined` is left out. `MESSAGE` is for people, `PRIORITY` as in syslog(3), `MESSAGE_ID`
 * 32 hexadecimal digits.
 *
 * @since 0.1.0
 * @category models
 */
export type Fields = Readonly<Record<string, string | number | undefined>>

/**
 * One system call, which never waits: false when the journal has too much to do, or isn't there any more.
 *
 * @since 0.1.0
 * @category models
 */
export type Journal = (fields: Fields) => boolean

/** A value of several lines is told by its length: u64, little-endian. */
const encodeField = (name: string, value: string): Buffer => {
  if (!value.includes("\n")) return Buffer.from(`${name}=${value}\n`, "utf8")
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(value)))
  return Buffer.concat([Buffer.from(`${name}\n`), length, Buffer.from(`${value}\n`, "utf8")])
}

const encode = (fields: Fields): Buffer =>
  Buffer.concat(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [encodeField(name, String(value))]))
  )

/**
 * The journal, or `undefined` where nobody listens.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = (path: string = socket): Effect.Effect<Journal | undefined, never, Scope.Scope> =>
  Notification.connect(path).pipe(
    Effect.map(
      (fd): Journal =>
        (fields) =>
          UnixSocket.send(fd, encode(fields)) >= 0
    ),
    Effect.orElseSucceed(() => undefined)
  )
