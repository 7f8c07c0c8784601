// docs/performance.md, from packages/bench/results: npm run docs
// --check: only says whether it is out of date, and writes nothing.
import { existsSync, readFileSync } from "node:fs"
import type * as Schema from "effect/Schema"
import * as WrittenPages from "../../agent/tools/WrittenPages.ts"
import * as PerformancePage from "../src/PerformancePage.ts"
import * as Results from "../src/Results.ts"

const kept = <A, I>(name: string, schema: Schema.Schema<A, I>): A | undefined => {
  const path = `packages/bench/results/${name}.json`
  return existsSync(path) ? Results.fromText(schema, readFileSync(path, "utf8")) : undefined
}

WrittenPages.write({
  "docs/performance.md": PerformancePage.render({
    calls: kept("calls", Results.Calls),
    updates: kept("updates", Results.Updates)
  })
})
