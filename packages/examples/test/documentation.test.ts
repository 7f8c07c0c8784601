import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import ts from "typescript"
import * as Snippets from "./Snippets.ts"

const examples = dirname(import.meta.dirname)
const workspace = join(examples, "../..")

const under = (directory: string, ending: string): ReadonlyArray<string> =>
  readdirSync(join(workspace, directory), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(directory, name))

const text = (file: string) => readFileSync(join(workspace, file), "utf8")

const packages = readdirSync(join(workspace, "packages"))

const snippets: ReadonlyArray<Snippets.Snippet> = [
  ...["README.md", "CONTRIBUTING.md", ...under("docs", ".md")].flatMap((file) => Snippets.ofMarkdown(file, text(file))),
  ...packages
    .flatMap((name) => readdirSync(join(workspace, "packages", name)).map((file) => join("packages", name, file)))
    .filter((file) => file.endsWith(".md"))
    .flatMap((file) => Snippets.ofMarkdown(file, text(file))),
  ...packages
    .flatMap((name) => under(join("packages", name, "src"), ".ts"))
    .flatMap((file) => Snippets.ofSource(file, text(file)))
]

/** Errors of the compiler, by the snippet that they are in. */
const compile = (programs: ReadonlyArray<Snippets.Snippet>): ReadonlyArray<string> => {
  const config = ts.getParsedCommandLineOfConfigFile(
    join(examples, "tsconfig.json"),
    { noEmit: true, composite: false, noUnusedLocals: false, rootDir: workspace },
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: (diagnostic) =>
        assert.fail(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"))
    }
  )
  if (config === undefined) return assert.fail("no tsconfig.json")
  // In this package, where @liveupdate/sdk and effect are found.
  const files = new Map(programs.map((program, index) => [join(examples, "src", `snippet-${index}.ts`), program]))
  const host = ts.createCompilerHost(config.options)
  const { fileExists, getSourceFile, readFile } = host
  host.fileExists = (file) => files.has(file) || fileExists(file)
  host.readFile = (file) => files.get(file)?.text ?? readFile(file)
  host.getSourceFile = (file, options, ...rest) => {
    const snippet = files.get(file)
    return snippet === undefined
      ? getSourceFile(file, options, ...rest)
      : ts.createSourceFile(file, snippet.text, options)
  }
  const program = ts.createProgram({ rootNames: [...files.keys()], options: config.options, host })
  return [...files].flatMap(([file, { place }]) => {
    const source = program.getSourceFile(file)
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ messageText }) => `${place}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`
    )
  })
}

describe("examples in README, docs and docstrings", () => {
  it("are found", () => {
    const files = snippets.map(({ place }) => relative(".", place.replace(/:\d+$/, "")))
    assert.include(files, "README.md")
    assert.include(files, "packages/sdk/src/SimulatedHost.ts")
  })

  it("compile, each by itself", () => {
    assert.deepStrictEqual(compile(snippets), [])
  }, 120_000)

  it("would not compile with a mistake in them", () => {
    const wrong = [
      { place: "wrong.md:1", text: 'import { Memfd } from "@liveupdate/sdk"\nMemfd.create({ name: "ram" })\n' },
      { place: "wrong.md:9", text: "const missing: number = vmm.pid\nexport {}\n" }
    ]
    assert.deepStrictEqual(
      compile(wrong).map((problem) => problem.split(" ")[0]),
      ["wrong.md:1:", "wrong.md:9:"]
    )
  }, 120_000)

  it("stand where they are said to stand", () => {
    assert.deepStrictEqual(Snippets.ofMarkdown("a.md", "one\n\n<!-- given:\nconst b = 1\n-->\n\n```ts\nb + 1\n```\n"), [
      { place: "a.md:8", text: "const b = 1\nb + 1\n\nexport {}\n" }
    ])
    assert.deepStrictEqual(Snippets.ofMarkdown("a.md", "<!-- given:\n{\n// …\n}\n-->\n\n```ts\nb()\n```\n"), [
      { place: "a.md:8", text: "{\nb()\n}\n\nexport {}\n" }
    ])
    assert.deepStrictEqual(
      Snippets.ofSource("a.ts", "\n/**\n * Text.\n * ```ts\n * b()\n * ```\n */\n").map(({ place }) => place),
      ["a.ts:5"]
    )
  })
})
