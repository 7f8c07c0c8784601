/**
 * Cuts a byte stream into lines, however the stream was cut into chunks.
 *
 * @since 0.1.0
 */

const NEWLINE = 0x0a

/**
 * @since 0.1.0
 * @category models
 */
export interface LineSplitter {
  /** Takes the next chunk and returns the lines it completes, without their line ends; empty lines are left out. */
  readonly push: (chunk: Uint8Array) => ReadonlyArray<string>
  /** How many bytes of an incomplete line are held back. */
  readonly pending: () => number
}

/**
 * Works on bytes and decodes whole lines only: a chunk may end in the middle of a UTF-8 character, and a big reply in many chunks is
 * joined once, not once per chunk.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (): LineSplitter => {
  let parts: Array<Uint8Array> = []
  let pending = 0
  const push = (chunk: Uint8Array): ReadonlyArray<string> => {
    const lines: Array<string> = []
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      parts.push(chunk.subarray(from, end))
      const line = Buffer.concat(parts).toString("utf8")
      const text = line.endsWith("\r") ? line.slice(0, -1) : line
      if (text.length > 0) lines.push(text)
      parts = []
      pending = 0
      from = end + 1
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from))
      pending += chunk.length - from
    }
    return lines
  }
  return { push, pending: () => pending }
}
