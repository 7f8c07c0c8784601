import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import ts from "typescript"
import { findPackage } from "../tools/PublicApi.ts"

const sdk = findPackage(import.meta.dirname)
const workspace = join(sdk, "../..")

const files = (directory: string, ending: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(directory, name))

interface Finding {
  readonly node: ts.Node
  readonly source: ts.SourceFile
}

const find = (path: string, matches: (node: ts.Node) => boolean): ReadonlyArray<Finding> => {
  const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true)
  const found: Array<Finding> = []
  const visit = (node: ts.Node): void => {
    if (matches(node)) found.push({ node, source })
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const line = ({ node, source }: Finding): string =>
  `${relative(workspace, source.fileName)}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}: ${node.getText(source).slice(0, 80)}`

const isAny = (node: ts.Node) => node.kind === ts.SyntaxKind.AnyKeyword

/** `x as T`, `<T>x` and `x!`; `as const` claims nothing that the compiler doesn't know. */
const isCast = (node: ts.Node) =>
  ts.isTypeAssertionExpression(node) ||
  ts.isNonNullExpression(node) ||
  (ts.isAsExpression(node) && !ts.isConstTypeReference(node.type))

/** A comment inside the statement or right before it. */
const hasReason = ({ node, source }: Finding): boolean => {
  const statement = ts.findAncestor(node, (parent) => ts.isStatement(parent) && !ts.isBlock(parent)) ?? node
  return /\/\/|\/\*/.test(statement.getFullText(source))
}

describe("type safety", () => {
  it("the emitted declarations hold no any", () => {
    const declarations = files(join(sdk, "dist"), ".d.ts")
    const emitted = (path: string) => join(sdk, "dist", relative(join(sdk, "src"), path)).replace(/\.ts$/, ".d.ts")
    for (const path of files(join(sdk, "src"), ".ts")) assert.isTrue(existsSync(emitted(path)), `build first: ${path}`)
    assert.deepStrictEqual(declarations.flatMap((path) => find(path, isAny)).map(line), [])
  })

  it("the examples need no any and no cast", () => {
    const examples = files(join(workspace, "packages/examples/src"), ".ts")
    assert.isNotEmpty(examples)
    assert.deepStrictEqual(examples.flatMap((path) => find(path, (node) => isAny(node) || isCast(node))).map(line), [])
  })

  it("a cast inside the SDK has its reason beside it", () => {
    const casts = files(join(sdk, "src"), ".ts").flatMap((path) => find(path, isCast))
    assert.deepStrictEqual(casts.filter((cast) => !hasReason(cast)).map(line), [])
  })

  it.each([
    ["const a: any = 1", isAny, 1],
    ["const a: unknown = 1 // any", isAny, 0],
    ["const a = [1] as const", isCast, 0],
    ["const a = 1 as unknown as string", isCast, 2],
    ["const a = b!.c", isCast, 1],
    ["const a = <string>b", isCast, 1]
  ] as const)("finds what it looks for: %s", (text, matches, count) => {
    const source = ts.createSourceFile("a.ts", text, ts.ScriptTarget.Latest, true)
    let found = 0
    const visit = (node: ts.Node): void => {
      if (matches(node)) found += 1
      ts.forEachChild(node, visit)
    }
    visit(source)
    assert.strictEqual(found, count)
  })
})
