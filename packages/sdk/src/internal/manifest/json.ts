/**
 * JSON in a manifest is exactly what `JSON.stringify` writes: one text for one value. So nothing can hide in it (a key twice,
 * a number that doesn't fit), and what was accepted is what was written.
 */
import { isUtf8 } from "node:buffer"
import * as Either from "effect/Either"
import type { ManifestInvalid } from "../../errors/ManifestInvalid.ts"
import { invalid } from "./layout.ts"

export const MAX_DEPTH = 64

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Where the nesting first goes beyond the limit, or -1. Before parsing: what parses and prints JSON goes as deep as the text does. */
const tooDeepAt = (bytes: Buffer): number => {
  let depth = 0
  let inString = false
  for (let offset = 0; offset < bytes.length; offset++) {
    const byte = bytes[offset]
    if (inString) {
      if (byte === BACKSLASH) offset++
      else if (byte === QUOTE) inString = false
    } else if (byte === QUOTE) inString = true
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++depth > MAX_DEPTH) return offset
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--
  }
  return -1
}

/** In text that `JSON.stringify` wrote, this is a key and can't be the inside of a string, where the quote would be escaped. */
const PROTO_KEY = /[{,]"__proto__":/

export const parse = (section: string, bytes: Buffer): Either.Either<unknown, ManifestInvalid> => {
  if (!isUtf8(bytes)) return invalid("encoding", section, "bytes that are no UTF-8")
  const deep = tooDeepAt(bytes)
  if (deep !== -1) return invalid("too-deep", section, `more than ${MAX_DEPTH} levels at byte ${deep} of it`)
  const text = bytes.toString("utf8")
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return invalid("syntax", section, "it is no JSON")
  }
  if (JSON.stringify(value) !== text)
    return invalid("syntax", section, "its JSON is not written as JSON.stringify does")
  return PROTO_KEY.test(text) ? invalid("syntax", section, "a key __proto__") : Either.right(value)
}
