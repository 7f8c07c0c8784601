/**
 * One call to systemd over its own socket, which is there before any message bus is, and to which root needs no bus: D-Bus's wire format, as
 * much of it as a scope takes (dbus.freedesktop.org/doc/dbus-specification.html). Pure, but for `call`.
 *
 * @since 0.1.0
 */
import { connect } from "node:net"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { codeOf } from "./SystemError.ts"

/**
 * Where systemd listens.
 *
 * @since 0.1.0
 * @category constants
 */
export const socket = "/run/systemd/private"

/**
 * systemd's answer was an error, or none came.
 *
 * @since 0.1.0
 * @category errors
 */
export class SystemdCallFailed extends Data.TaggedError("SystemdCallFailed")<{
  readonly member: string
  readonly reason: string
}> {
  override get message(): string {
    return `systemd refuses ${this.member}: ${this.reason}`
  }
}

/**
 * A property of a unit, with its type.
 *
 * @since 0.1.0
 * @category models
 */
export type Property =
  | readonly [name: string, type: "s", value: string]
  | readonly [name: string, type: "b", value: boolean]
  | readonly [name: string, type: "au", value: ReadonlyArray<number>]

/** Bytes as the format aligns them, from the beginning of the message's header or body. */
class Writer {
  private bytes: Array<number> = []
  get length(): number {
    return this.bytes.length
  }
  align(to: number): this {
    while (this.bytes.length % to !== 0) this.bytes.push(0)
    return this
  }
  byte(value: number): this {
    this.bytes.push(value)
    return this
  }
  u32(value: number): this {
    this.align(4)
    this.bytes.push(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24)
    return this
  }
  text(value: string): this {
    this.u32(Buffer.byteLength(value))
    this.bytes.push(...Buffer.from(value, "utf8"), 0)
    return this
  }
  signature(value: string): this {
    this.bytes.push(value.length, ...Buffer.from(value), 0)
    return this
  }
  /** Its length doesn't count what aligns its first element. */
  array(alignment: number, write: (writer: this) => void): this {
    this.u32(0)
    const at = this.bytes.length - 4
    this.align(alignment)
    const begin = this.bytes.length
    write(this)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(this.bytes.length - begin)
    this.bytes.splice(at, 4, ...length)
    return this
  }
  toBuffer(): Buffer {
    return Buffer.from(this.bytes)
  }
}

const writeProperty = (body: Writer, [name, type, value]: Property): void => {
  body.align(8).text(name).signature(type)
  if (type === "s") body.text(value)
  else if (type === "b") body.u32(value ? 1 : 0)
  else
    body.array(4, (body) => {
      for (const number of value) body.u32(number)
    })
}

const OBJECT = "/org/freedesktop/systemd1"
const INTERFACE = "org.freedesktop.systemd1.Manager"
const METHOD_CALL = 1
const ERROR = 3
const HEADER = 16

/**
 * `StartTransientUnit` (org.freedesktop.systemd1(5)), whose signature is ssa(sv)a(sa(sv)), as a message.
 *
 * @since 0.1.0
 * @category codecs
 */
export const startTransientUnit = (name: string, properties: ReadonlyArray<Property>): Buffer => {
  const body = new Writer()
    .text(name)
    .text("fail")
    .array(8, (body) => {
      for (const property of properties) writeProperty(body, property)
    })
    .array(8, () => undefined)
  const field = (header: Writer, code: number, type: string, value: string) => {
    header.align(8).byte(code).signature(type)
    if (type === "g") header.signature(value)
    else header.text(value)
  }
  // Little-endian, no flags, version 1.
  const header = new Writer().byte(0x6c).byte(METHOD_CALL).byte(0).byte(1).u32(body.length).u32(1)
  header
    .array(8, (header) => {
      field(header, 1, "o", OBJECT)
      field(header, 2, "s", INTERFACE)
      field(header, 3, "s", "StartTransientUnit")
      field(header, 8, "g", "ssa(sv)a(sa(sv))")
    })
    .align(8)
  return Buffer.concat([header.toBuffer(), body.toBuffer()])
}

/**
 * The answer among what has come after the authentication: `undefined` as long as it isn't whole.
 *
 * @since 0.1.0
 * @category codecs
 */
export const answerIn = (bytes: Buffer): { readonly error?: string } | undefined => {
  // One line comes first: OK, and who it is.
  const begin = bytes.indexOf("\r\n") + 2
  const message = bytes.subarray(begin)
  if (begin < 2 || message.length < HEADER) return undefined
  const fields = Math.ceil(message.readUInt32LE(12) / 8) * 8
  const body = message.subarray(HEADER + fields)
  const length = message.readUInt32LE(4)
  if (body.length < length) return undefined
  if (message[1] !== ERROR) return {}
  return { error: length > 4 ? body.toString("utf8", 4, 4 + body.readUInt32LE(0)) : "an error" }
}

/** Who connects is who it says it is: the kernel tells. The identity is the user's number, each digit in hexadecimal. */
const authentication = () => {
  const identity = Buffer.from(String(process.getuid?.() ?? 0)).toString("hex")
  return `\0AUTH EXTERNAL ${identity}\r\nBEGIN\r\n`
}

/**
 * Starts a transient unit; returns when systemd has taken it, which is before it has started it.
 *
 * @since 0.1.0
 * @category operations
 */
export const start = (
  name: string,
  properties: ReadonlyArray<Property>,
  path: string = socket
): Effect.Effect<void, SystemdCallFailed> =>
  Effect.async<void, SystemdCallFailed>((resume) => {
    const failed = (reason: string) =>
      resume(Effect.fail(new SystemdCallFailed({ member: `to start ${name}`, reason })))
    const connection = connect(path)
    let received = Buffer.alloc(0)
    connection.on("error", (error) => failed(codeOf(error)))
    connection.on("close", () => failed("it ended the connection"))
    connection.on("data", (data) => {
      received = Buffer.concat([received, data])
      if (received.toString("latin1", 0, 8).startsWith("REJECTED")) return failed("it doesn't know this user")
      const answer = answerIn(received)
      if (answer === undefined) return
      if (answer.error === undefined) resume(Effect.void)
      else failed(answer.error)
      connection.destroy()
    })
    connection.write(authentication())
    connection.write(startTransientUnit(name, properties))
    return Effect.sync(() => connection.destroy())
  }).pipe(
    Effect.timeoutFail({
      duration: "5 seconds",
      onTimeout: () => new SystemdCallFailed({ member: `to start ${name}`, reason: "no answer" })
    })
  )
