// docs/performance.md, from packages/bench/results: npm run docs
// --check: only says whether it is out of date, and writes nothing.
import { readFileSync } from "node:fs"
import * as WrittenPages from "../../agent/tools/WrittenPages.ts"
import * as PerformancePage from "../src/PerformancePage.ts"
import * as Results from "../src/Results.ts"

const read = (name: string) => readFileSync(`packages/bench/results/${name}.json`, "utf8")

WrittenPages.write({
  "docs/performance.md": PerformancePage.render({
    calls: Results.fromText(Results.Calls, read("calls")),
    updates: Results.fromText(Results.Updates, read("updates"))
  })
})
