/**
 * What the SDK exports and what its docstrings say of it, read with the TypeScript compiler: the source of the surface page,
 * of the errors page and of the check that nothing is undocumented.
 */
import { readFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import ts from "typescript"

export interface Docstring {
  /** Markdown before the first tag. */
  readonly text: string
  readonly since: ReadonlyArray<string>
  readonly category: ReadonlyArray<string>
}

export interface Export {
  readonly name: string
  /** A name may be a value and a type at once. */
  readonly is: ReadonlySet<"value" | "function" | "class" | "type">
  /** Of every declaration, in the order of the source. */
  readonly docs: ReadonlyArray<Docstring | undefined>
  readonly declarations: ReadonlyArray<ts.Declaration>
  /** Where it is declared, from the package's directory. */
  readonly place: string
}

export interface Module {
  readonly name: string
  readonly file: string
  readonly doc: Docstring | undefined
  readonly exports: ReadonlyArray<Export>
}

/** Public modules that the index leaves out: programs, which nobody imports for their exports. */
const onlyByPath = ["KeeperProgram"]

/** The package's directory, seen from any program in it. */
export const findPackage = (from: string): string => {
  const path = join(from, "package.json")
  try {
    if (JSON.parse(readFileSync(path, "utf8")).name === "@liveupdate/sdk") return from
  } catch {}
  const parent = dirname(from)
  if (parent === from) throw new Error("not inside @liveupdate/sdk")
  return findPackage(parent)
}

const docOf = (declaration: ts.Node): Docstring | undefined => {
  const target =
    ts.isVariableDeclaration(declaration) && ts.isVariableStatement(declaration.parent.parent)
      ? declaration.parent.parent
      : declaration
  const blocks = ts.getJSDocCommentsAndTags(target).filter(ts.isJSDoc)
  const block = blocks.at(-1)
  return block === undefined ? undefined : fromBlock(block)
}

const fromBlock = (block: ts.JSDoc): Docstring => {
  const tagged = (name: string) =>
    (block.tags ?? [])
      .filter((tag) => tag.tagName.text === name)
      .map((tag) => (ts.getTextOfJSDocComment(tag.comment) ?? "").trim())
  return {
    text: (ts.getTextOfJSDocComment(block.comment) ?? "").trim(),
    since: tagged("since"),
    category: tagged("category")
  }
}

/** The first docstring of a file, unless it is the first statement's own. */
const docOfFile = (source: ts.SourceFile): Docstring | undefined => {
  const blocks = (ts.getLeadingCommentRanges(source.text, source.getFullStart()) ?? [])
    .map(({ end, pos }) => source.text.slice(pos, end))
    .filter((comment) => comment.startsWith("/**"))
  const first = source.statements[0]
  const isOwn = first !== undefined && !ts.isImportDeclaration(first) && !ts.isExportDeclaration(first)
  const [block] = isOwn && blocks.length < 2 ? [] : blocks
  if (block === undefined) return undefined
  const lines = block
    .slice(3, -2)
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trim())
  const tagged = (name: string) =>
    lines.flatMap((line) => (line.startsWith(`@${name} `) ? [line.slice(name.length + 2)] : []))
  const end = lines.findIndex((line) => line.startsWith("@"))
  return {
    text: lines
      .slice(0, end === -1 ? undefined : end)
      .join("\n")
      .trim(),
    since: tagged("since"),
    category: tagged("category")
  }
}

const natureOf = (declaration: ts.Declaration): "value" | "function" | "class" | "type" => {
  if (ts.isClassDeclaration(declaration)) return "class"
  if (ts.isInterfaceDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration)) return "type"
  if (ts.isFunctionDeclaration(declaration)) return "function"
  if (ts.isVariableDeclaration(declaration) && declaration.initializer !== undefined) {
    const { initializer } = declaration
    if (ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer)) return "function"
    // Effect.fn("…")(function* …) and curried makers of functions
    if (ts.isCallExpression(initializer) && ts.isCallExpression(initializer.expression)) return "function"
  }
  return "value"
}

export interface Api {
  readonly program: ts.Program
  readonly directory: string
  readonly index: Docstring | undefined
  readonly modules: ReadonlyArray<Module>
}

export const read = (directory: string, byPathOnly: ReadonlyArray<string> = onlyByPath): Api => {
  const config = ts.getParsedCommandLineOfConfigFile(
    join(directory, "tsconfig.json"),
    {},
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: (diagnostic) => {
        throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"))
      }
    }
  )
  if (config === undefined) throw new Error(`no tsconfig.json in ${directory}`)
  const program = ts.createProgram({ rootNames: config.fileNames, options: config.options })
  const checker = program.getTypeChecker()
  const index = program.getSourceFile(join(directory, "src/index.ts"))
  if (index === undefined) throw new Error("no src/index.ts")

  const resolve = (symbol: ts.Symbol): ts.Symbol =>
    (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)

  const fromIndex = checker.getExportsOfModule(must(checker.getSymbolAtLocation(index)))
  const byPath = byPathOnly.map((name) =>
    must(checker.getSymbolAtLocation(must(program.getSourceFile(join(directory, `src/${name}.ts`)))))
  )
  const modules = [...fromIndex, ...byPath].map((symbol): Module => {
    const file = must(resolve(symbol).declarations?.[0]).getSourceFile()
    const exports = checker.getExportsOfModule(resolve(symbol)).map((exported): Export => {
      const declarations = resolve(exported).declarations ?? []
      const place = must(declarations[0]).getSourceFile()
      return {
        name: exported.name,
        is: new Set(declarations.map(natureOf)),
        docs: declarations.map(docOf),
        declarations,
        place: relative(directory, place.fileName)
      }
    })
    return {
      name: basename(file.fileName, ".ts"),
      file: relative(directory, file.fileName),
      doc: docOfFile(file),
      exports
    }
  })
  return { program, directory, index: docOfFile(index), modules }
}

const must = <A>(value: A | undefined): A => {
  if (value === undefined) throw new Error("the compiler knows less than it should")
  return value
}

/** Up to the end of the first sentence, on one line; what stands in parentheses is for those who read on. */
export const firstSentence = (text: string): string => {
  const line = (text.split("\n\n")[0] ?? "").replace(/\s+/g, " ").replace(/ \([^()]*(\([^()]*\)[^()]*)*\)/g, "")
  const end = /\.(?=\s|$)/.exec(line.replace(/`[^`]*`/g, (code) => "_".repeat(code.length)))
  return end === null ? line : line.slice(0, end.index)
}

export const summary = (docs: Export["docs"]): string =>
  firstSentence(docs.find((doc) => doc !== undefined && doc.text !== "")?.text ?? "")
