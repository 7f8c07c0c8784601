/**
 * The list of everything public in packages/sdk/README.md: what stands between its two marks is made from the code.
 */
import { table } from "./Markdown.ts"
import { type Api, type Export, firstSentence, type Module, summary } from "./PublicApi.ts"

const BEGIN = "<!-- surface: made by `npm run docs` -->"
const END = "<!-- /surface -->"

const cell = (text: string): string => text.replaceAll("|", "\\|")

const isError = ({ docs, is }: Export): boolean =>
  is.has("class") && docs.some((doc) => doc?.category.includes("errors"))

const byName = (one: Export, other: Export) => one.name.localeCompare(other.name, "en")

const listed = (exports: ReadonlyArray<Export>): ReadonlyArray<string> =>
  exports.length === 0
    ? []
    : [
        ...table(
          ["export", ""],
          [...exports].sort(byName).map(({ docs, name }) => [`\`${name}\``, cell(summary(docs))])
        ),
        ""
      ]

const section = (module: Module): ReadonlyArray<string> => {
  const errors = module.exports.filter(isError)
  return [
    `### ${module.name}`,
    "",
    `${firstSentence(module.doc?.text ?? "")}.`,
    "",
    ...listed(module.exports.filter((exported) => !isError(exported))),
    ...(errors.length === 0
      ? []
      : [
          `Errors, all in [docs/errors.md](../../docs/errors.md): ${[...errors]
            .sort(byName)
            .map(({ name }) => `\`${name}\``)
            .join(", ")}.`,
          ""
        ])
  ]
}

/** How many names there are, and in how many modules. */
export const size = ({ modules }: Api) => ({
  modules: modules.length,
  exports: modules.reduce((sum, { exports }) => sum + exports.length, 0)
})

/** `readme` with its list made anew. */
export const update = (readme: string, api: Api): string => {
  const begin = readme.indexOf(BEGIN)
  const end = readme.indexOf(END)
  if (begin === -1 || end < begin) throw new Error(`packages/sdk/README.md lacks ${BEGIN} or ${END}`)
  return [readme.slice(0, begin + BEGIN.length), "", ...api.modules.flatMap(section), readme.slice(end)].join("\n")
}
