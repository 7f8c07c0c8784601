/**
 * docs/errors.md, made from the error classes, their docstrings, and what the kernel can answer.
 */
import type { LiveUpdateError, Operation } from "../src/LiveUpdateError.ts"
import { answers } from "../test/kernelAnswers.ts"
import { sections } from "./errorSections.ts"
import { table } from "./Markdown.ts"
import type { Api, Export } from "./PublicApi.ts"
import { type AnyError, groups, type Section } from "./sections/Section.ts"

type Tag = AnyError["_tag"]

interface Answer {
  readonly operation: string
  readonly errno: string
  readonly tag: LiveUpdateError["_tag"]
}

/** Every answer of the kernel that reaches a program, in the order of the operations. */
const kernelAnswers: ReadonlyArray<Answer> = Object.entries(answers).flatMap(([operation, { means }]) =>
  Object.entries(means).flatMap(([errno, tag]) => (typeof tag === "string" ? [{ operation, errno, tag }] : []))
)

/** The same that the kernel doesn't tell apart: the SDK knows who holds the file, or whether an image is loaded. */
const refined: ReadonlyArray<Answer & { readonly operation: Operation }> = [
  { operation: "session.preserve", errno: "EBUSY", tag: "ManagedUntilFinish" },
  { operation: "session.preserve", errno: "EINVAL", tag: "NotPreservable" },
  { operation: "session.preserve", errno: "EFBIG", tag: "NotPreservable" },
  { operation: "session.preserve", errno: "EOPNOTSUPP", tag: "NotPreservable" },
  { operation: "session.preserve", errno: "ENOENT", tag: "NotPreservable" },
  { operation: "kexec.jump", errno: "EINVAL", tag: "FreezeFailed" }
]

/** What a row that passes on a handler's answer makes of those that aren't in the table. */
const passedOn: Readonly<Record<string, string>> = {
  PreserveRefused: "any other errno of `session.preserve`",
  RetrieveFailed: "any other errno of `session.retrieveFile`",
  FreezeFailed: "any other errno of `kexec.jump`",
  UnexpectedErrno: "what isn't in the table above"
}

const all = [...kernelAnswers, ...refined]

const unique = <A>(values: Iterable<A>): ReadonlyArray<A> => [...new Set(values)]

const anchor = (tag: string) => `[${tag}](#${tag.toLowerCase()})`

/** Operations by their prefix: `memfd.read`, `.write`. */
const listed = (operations: ReadonlyArray<string>): string => {
  if (operations.length > 12) return "almost any"
  const byPrefix = new Map<string, Array<string>>()
  for (const operation of operations) {
    const [prefix = "", name = ""] = operation.split(".")
    byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), name])
  }
  return [...byPrefix].map(([prefix, names]) => names.map((name) => `\`${prefix}.${name}\``).join(", ")).join(", ")
}

/** What an errno means: operations that mean the same errors by it, and those. */
const meaningsOf = (errno: string): ReadonlyArray<readonly [operations: string, errors: string]> => {
  const answered = all.filter((answer) => answer.errno === errno)
  const meanings = new Map<string, Array<string>>()
  for (const operation of unique(answered.map((answer) => answer.operation))) {
    const tags = answered.filter((answer) => answer.operation === operation).map(({ tag }) => anchor(tag))
    const errors = tags.join(", or ")
    meanings.set(errors, [...(meanings.get(errors) ?? []), operation])
  }
  return [...meanings].map(([errors, operations]) => [listed(operations), errors])
}

/** Errnos that mean the same share their rows. */
const errnoTable = (): ReadonlyArray<string> => {
  const groups = new Map<string, { readonly errnos: Array<string>; readonly rows: ReturnType<typeof meaningsOf> }>()
  for (const errno of [...unique(all.map((answer) => answer.errno))].sort()) {
    const rows = meaningsOf(errno)
    const key = JSON.stringify(rows)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { errnos: [errno], rows })
    else group.errnos.push(errno)
  }
  return table(
    ["errno", "answered to", "error"],
    [...groups.values()].flatMap(({ errnos, rows }) =>
      rows.map((row, index) => [index === 0 ? `**${errnos.join(", ")}**` : "", ...row])
    )
  )
}

/** A docstring on as few lines as Markdown needs. */
const flowing = (text: string): string =>
  text
    .split("\n\n")
    .map((paragraph) => paragraph.replace(/\n(?!\s*- )\s*/g, " "))
    .join("\n\n")

const happens = (tag: Tag, section: Section<AnyError>): string => {
  const answered = all.filter((answer) => answer.tag === tag)
  const byOperations = new Map<string, Array<string>>()
  for (const errno of unique(answered.map((answer) => answer.errno))) {
    const operations = listed(answered.filter((answer) => answer.errno === errno).map(({ operation }) => operation))
    byOperations.set(operations, [...(byOperations.get(operations) ?? []), errno])
  }
  const more = passedOn[tag]
  return [
    ...[...byOperations].map(([operations, errnos]) => `${errnos.join(", ")} from ${operations}`),
    ...(more === undefined ? [] : [more]),
    ...(section.unasked === undefined ? [] : [`before the kernel is asked: ${section.unasked}`])
  ].join("; ")
}

const steps = ({ examples }: Section<AnyError>): ReadonlyArray<string> => {
  const [[label, error]] = examples
  if (examples.length === 1 && label === "") return [`- **Do:** ${error.next}.`]
  return ["- **Do:**", ...examples.map(([name, { next }]) => `  - ${name}: ${next}.`)]
}

const render = (tag: Tag, section: Section<AnyError>, exported: Export): ReadonlyArray<string> => {
  const when = happens(tag, section)
  return [
    `### ${tag}`,
    "",
    flowing(exported.docs[0]?.text ?? ""),
    "",
    ...(when === "" ? [] : [`- **When:** ${when}.`]),
    ...steps(section),
    `- **Whose doing:** ${section.who}.`,
    `- **Again?** ${section.again}.`,
    ""
  ]
}

const isTag = (name: string): name is Tag => name in sections

/** Every error class that the SDK exports. */
export const errorClasses = ({ modules }: Api): ReadonlyMap<string, Export> =>
  new Map(
    modules
      .flatMap(({ exports }) => exports)
      .filter(({ docs, is }) => is.has("class") && docs.some((doc) => doc?.category.includes("errors")))
      .map((exported) => [exported.name, exported])
  )

/** Errors that the page doesn't know, and entries of the page that are no error; both empty when it is complete. */
export const differences = (api: Api): ReadonlyArray<string> => {
  const classes = errorClasses(api)
  return [
    ...[...classes.keys()].filter((name) => !isTag(name)).map((name) => `${name} has no entry in tools/sections`),
    ...Object.keys(sections)
      .filter((name) => !classes.has(name))
      .map((name) => `tools/sections: ${name} is no exported error class of category errors`)
  ]
}

export const page = (api: Api): string => {
  const classes = errorClasses(api)
  const entries: ReadonlyArray<readonly [string, Section<AnyError>]> = Object.entries(sections)
  const body = Object.entries(groups).flatMap(([group, [title, introduction]]) => [
    `## ${title}`,
    "",
    introduction,
    "",
    ...entries.flatMap(([tag, section]) => {
      const exported = classes.get(tag)
      return section.group === group && exported !== undefined && isTag(tag) ? render(tag, section, exported) : []
    })
  ])
  return `${[
    "# Errors and what to do",
    "",
    "<!-- Made by `npm run docs` from packages/sdk/src, packages/sdk/test/kernelAnswers.ts and packages/sdk/tools/sections. -->",
    "",
    "Every error of the SDK is one line: what happened, where, what was asked and what the kernel answered, and what to do.",
    "",
    "```",
    sections.ManagedUntilFinish.examples[0][1].message,
    "```",
    "",
    "What is in the brackets finds the error in this table; `none` means that the SDK refused before the kernel was asked. The",
    "name of the error is its `_tag`.",
    "",
    "**First of all:** has the jump happened? (`agent status`, `uname -r`) If not, the guests run, or run again when the command has",
    "ended; there is time. If so, guests may stand still, and their memory waits: **don't reboot, don't end the keeper.**",
    "",
    "## Which errno",
    "",
    ...errnoTable(),
    "",
    ...body
  ]
    .join("\n")
    .trimEnd()}\n`
}
