/**
 * The lines that travel between {@link "./Channel"} and `host/channeld.c`: a pure codec.
 *
 * Each message is one line with a newline before and after it. A line cut short by a kexec spoils itself, never the next one.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Option from "effect/Option"

/**
 * What the client says.
 *
 * @since 0.1.0
 * @category models
 */
export type ToHost = Data.TaggedEnum<{
  /** I am new here: end what my predecessor ran, say hello. */
  Query: object
  Run: {
    readonly id: string
    readonly argv: ReadonlyArray<string>
    readonly env: Readonly<Record<string, string>>
    readonly cwd: string
  }
  Input: { readonly id: string; readonly data: Uint8Array }
  EndOfInput: { readonly id: string }
  Signal: { readonly id: string; readonly signal: number }
}>

/**
 * @since 0.1.0
 * @category models
 */
export const ToHost = Data.taggedEnum<ToHost>()

/**
 * What the daemon says.
 *
 * @since 0.1.0
 * @category models
 */
export type FromHost = Data.TaggedEnum<{
  Hello: { readonly bootId: string }
  Output: { readonly id: string; readonly data: Uint8Array }
  ErrorOutput: { readonly id: string; readonly data: Uint8Array }
  Exited: { readonly id: string; readonly code: number }
  Signalled: { readonly id: string; readonly signal: number }
  NotStarted: { readonly id: string; readonly errno: number }
}>

/**
 * @since 0.1.0
 * @category models
 */
export const FromHost = Data.taggedEnum<FromHost>()

/**
 * Bytes of standard input in one message. The daemon takes lines of up to 1 MiB.
 *
 * @since 0.1.0
 * @category limits
 */
export const inputChunkBytes = 24 * 1024

const line = (text: string) => `\n${text}\n`
const base64 = (data: Uint8Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")

/**
 * @since 0.1.0
 * @category codec
 */
export const encode = (message: ToHost): string =>
  ToHost.$match(message, {
    Query: () => line("Q"),
    Run: ({ id, argv, env, cwd }) => {
      const strings = [cwd, ...Object.entries(env).map(([name, value]) => `${name}=${value}`), "", ...argv]
      return line(`R ${id} ${Buffer.from(strings.map((text) => `${text}\0`).join("")).toString("base64")}`)
    },
    Input: ({ id, data }) => line(`I ${id} ${base64(data)}`),
    EndOfInput: ({ id }) => line(`C ${id}`),
    Signal: ({ id, signal }) => line(`S ${id} ${signal}`)
  })

/**
 * Reads one line; none if it is no whole message.
 *
 * @since 0.1.0
 * @category codec
 */
export const decode = (text: string): Option.Option<FromHost> => {
  const [type, id, ...rest] = text.split(" ")
  if (type === undefined || id === undefined || id === "") return Option.none()
  const [first, second] = rest
  if (type === "H" && first === undefined)
    return /^[0-9a-f-]{36}$/.test(id) ? Option.some(FromHost.Hello({ bootId: id })) : Option.none()
  if ((type === "O" || type === "E") && first !== undefined && second === undefined) {
    if (first.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(first)) return Option.none()
    const data = new Uint8Array(Buffer.from(first, "base64"))
    return Option.some(type === "O" ? FromHost.Output({ id, data }) : FromHost.ErrorOutput({ id, data }))
  }
  const whole = (digits: string | undefined) =>
    digits !== undefined && /^[0-9]+$/.test(digits) ? Number(digits) : undefined
  if (type === "X" && rest.length === 2) {
    const value = whole(second)
    if (value === undefined) return Option.none()
    if (first === "exit") return Option.some(FromHost.Exited({ id, code: value }))
    if (first === "signal") return Option.some(FromHost.Signalled({ id, signal: value }))
  }
  if (type === "F" && rest.length === 1) {
    const errno = whole(first)
    if (errno !== undefined) return Option.some(FromHost.NotStarted({ id, errno }))
  }
  return Option.none()
}

/**
 * Puts lines together from the pieces that arrive.
 *
 * @since 0.1.0
 * @category codec
 */
export interface Decoder {
  readonly push: (chunk: Uint8Array) => ReadonlyArray<FromHost>
}

/**
 * @since 0.1.0
 * @category codec
 */
export const makeDecoder = (): Decoder => {
  let rest: Array<Buffer> = []
  return {
    push: (chunk) => {
      const messages: Array<FromHost> = []
      let buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      for (let at = buffer.indexOf(10); at >= 0; at = buffer.indexOf(10)) {
        const text = Buffer.concat([...rest, buffer.subarray(0, at)]).toString("latin1")
        rest = []
        buffer = buffer.subarray(at + 1)
        if (text === "") continue
        const message = decode(text)
        if (Option.isSome(message)) messages.push(message.value)
      }
      // A copy: the chunk's memory belongs to the socket.
      if (buffer.length > 0) rest.push(Buffer.from(buffer))
      return messages
    }
  }
}
