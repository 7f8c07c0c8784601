/**
 * A version's entry in debian/changelog, made of what changesets wrote into CHANGELOG.md.
 */

/** The changes of a version, one a line, as CHANGELOG.md lists them. */
export const changesOf = (changelog: string, version: string): ReadonlyArray<string> => {
  const [, rest = ""] = changelog.split(`\n## ${version}\n`)
  const [section = ""] = rest.split(/\n## /)
  return section
    .split(/\n(?=- )/)
    .filter((item) => item.trimStart().startsWith("- "))
    .map((item) =>
      item
        .replace(/^\s*- (?:[0-9a-f]{7,}: )?/, "")
        .replaceAll(/\s+/g, " ")
        .replace(/ ### .*$/, "")
        .trim()
    )
    .filter((item) => !item.startsWith("Updated dependencies"))
}

const WIDTH = 78

/** Text in lines that Debian's tools show whole. */
const wrapped = (text: string): string => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const line = `${lines.at(-1) ?? ""} ${word}`
    if (lines.length > 0 && line.length <= WIDTH - 4) lines[lines.length - 1] = line
    else lines.push(word)
  }
  return lines.map((line, index) => `${index === 0 ? "  * " : "    "}${line}`).join("\n")
}

/** Debian's own form of a time (RFC 5322), in UTC. */
const timeOf = (date: Date): string => date.toUTCString().replace("GMT", "+0000")

export interface Entry {
  readonly version: string
  readonly changes: ReadonlyArray<string>
  readonly date: Date
}

/** The changelog with an entry on top, by whom the last one was. */
export const withEntry = (changelog: string, { version, changes, date }: Entry): string => {
  const [, maintainer = ""] = /^ -- (.+?) {2}/m.exec(changelog) ?? []
  const items = changes.length === 0 ? ["New version of the packages that it is made with."] : changes
  return `liveupdate-agent (${version}) unstable; urgency=medium

${items.map(wrapped).join("\n")}

 -- ${maintainer}  ${timeOf(date)}

${changelog}`
}

/** The source of `agent --version`. */
export const withVersion = (source: string, version: string): string => {
  const line = /export const VERSION = "[^"]+"/
  if (!line.test(source)) throw new Error("where the agent says its version isn't what it was")
  return source.replace(line, `export const VERSION = "${version}"`)
}
