/**
 * In which line of a TOML document each key is. The parser keeps no positions, but it says where a statement ends: what is cut in the midst
 * of one is no TOML. So each statement is parsed by itself, below the header of its table.
 *
 * @since 0.1.0
 */
import { parse } from "smol-toml"

/**
 * @since 0.1.0
 * @category pure
 */
export const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date)

const pathsOf = (value: unknown, path: ReadonlyArray<string> = []): ReadonlyArray<ReadonlyArray<string>> =>
  isTable(value)
    ? Object.entries(value).flatMap(([name, inner]) => [[...path, name], ...pathsOf(inner, [...path, name])])
    : []

const parsed = (source: string): unknown => {
  try {
    return parse(source)
  } catch {
    return undefined
  }
}

/**
 * Answers for a path, tables and keys, in which line it is mentioned first, counted from 1. The document has to be a valid one.
 *
 * @since 0.1.0
 * @category pure
 */
export const of = (source: string): ((path: ReadonlyArray<string>) => number) => {
  const lines = source.split("\n")
  const found = new Map<string, number>()
  let header = ""
  let begin = 0
  for (let end = 0; end < lines.length; end++) {
    const statement = `${lines.slice(begin, end + 1).join("\n")}\n`
    const isHeader = /^\s*\[/.test(statement)
    const tree = parsed(isHeader ? statement : `${header}${statement}`)
    if (tree === undefined) continue
    for (const path of pathsOf(tree)) {
      const key = JSON.stringify(path)
      if (!found.has(key)) found.set(key, begin + 1)
    }
    if (isHeader) header = statement
    begin = end + 1
  }
  return (path) => found.get(JSON.stringify(path)) ?? 1
}
