/**
 * What a docstring must have: every export a sentence, `@since` and one `@category`; every module a sentence and `@since`;
 * every member that is called, run or counted (a function, an effect, a number) a sentence that says what it does, or its unit; every
 * function whose effect can fail, what it "Fails with".
 */
import ts from "typescript"
import type { Api, Docstring, Export } from "./PublicApi.ts"

const missing = (doc: Docstring | undefined): ReadonlyArray<string> => {
  if (doc === undefined) return ["a docstring"]
  return [
    ...(doc.since.length === 1 && /^\d+\.\d+\.\d+$/.test(doc.since[0] ?? "") ? [] : ["one @since"]),
    ...(doc.category.length === 1 && doc.category[0] !== "" ? [] : ["one @category"])
  ]
}

const isUndocumented = (member: ts.Node): boolean =>
  !ts.getJSDocCommentsAndTags(member).some((node) => ts.isJSDoc(node) && ts.getTextOfJSDocComment(node.comment))

/** Whether a member's type, as it is written, is something to call, to run or to count. */
const needsSentence = (member: ts.TypeElement, source: ts.SourceFile): boolean => {
  if (ts.isMethodSignature(member)) return true
  if (!ts.isPropertySignature(member) || member.type === undefined) return false
  const { type } = member
  return (
    ts.isFunctionTypeNode(type) ||
    type.kind === ts.SyntaxKind.NumberKeyword ||
    type.kind === ts.SyntaxKind.BigIntKeyword ||
    /^(Effect\.Effect|Stream\.Stream|Layer\.Layer)</.test(type.getText(source))
  )
}

const membersOf = (declaration: ts.Declaration): ReadonlyArray<ts.TypeElement> => {
  const found: Array<ts.TypeElement> = []
  const visit = (node: ts.Node): void => {
    if (ts.isBlock(node)) return
    if (ts.isPropertySignature(node) || ts.isMethodSignature(node)) {
      found.push(node)
      // Its own sentence speaks for what is inside.
      if (!isUndocumented(node)) return
    }
    ts.forEachChild(node, visit)
  }
  // Of a class only what it extends: the shape of a service or of an error.
  if (ts.isClassDeclaration(declaration)) declaration.heritageClauses?.forEach(visit)
  else if (ts.isInterfaceDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration)) visit(declaration)
  return found
}

const isErrorClass = ({ docs, is }: Export): boolean =>
  is.has("class") && docs.some((doc) => doc?.category.includes("errors"))

/** Whether what an export gives can fail with an error of the SDK, and its docstring doesn't say so. */
const hidesErrors = (api: Api): ((exported: Export) => boolean) => {
  const checker = api.program.getTypeChecker()
  const names = api.modules.flatMap(({ exports }) => exports.filter(isErrorClass).map(({ name }) => name))
  const fails = new RegExp(`\\bEffect<.*\\b(LiveUpdateError|${names.join("|")})\\b`)
  return ({ declarations, docs }) =>
    !docs.some((doc) => doc !== undefined && /\b[Ff]ails with\b/.test(doc.text)) &&
    declarations.filter(ts.isVariableDeclaration).some((declaration) => {
      const type = checker.getTypeAtLocation(declaration)
      return fails.test(checker.typeToString(type, declaration, ts.TypeFormatFlags.NoTruncation))
    })
}

/** One line for everything that is missing; empty when nothing is. */
export const problems = (api: Api): ReadonlyArray<string> => {
  const hides = hidesErrors(api)
  return api.modules.flatMap((module) => [
    ...(module.doc === undefined || module.doc.text === "" || module.doc.since.length !== 1
      ? [`${module.file}: the module lacks a docstring with a sentence and @since`]
      : []),
    ...module.exports.flatMap((exported) => {
      const where = `${exported.place}: ${module.name}.${exported.name}`
      const lacks = [...new Set(exported.docs.flatMap(missing))]
      const members = exported.declarations.flatMap((declaration) => {
        const source = declaration.getSourceFile()
        return membersOf(declaration)
          .filter((member) => needsSentence(member, source) && isUndocumented(member))
          .map((member) => `${where}: its member ${member.name?.getText(source)} lacks a sentence`)
      })
      return [
        ...(lacks.length === 0 ? [] : [`${where} lacks ${lacks.join(", ")}`]),
        ...(exported.docs.some((doc) => doc !== undefined && doc.text !== "") ? [] : [`${where} lacks a sentence`]),
        ...(hides(exported) ? [`${where} does not say what it "Fails with"`] : []),
        ...members
      ]
    })
  ])
}
