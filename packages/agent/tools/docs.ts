// What of the agent's documentation is made from its code: docs/states.md, docs/faults.md, docs/configuration.md, docs/cli.md, docs/metrics.md,
// its man page, and the configuration that its Debian package brings. npm run docs
// --check: only says whether something is out of date, and writes nothing.
import { readFileSync } from "node:fs"
import * as CliPage from "./CliPage.ts"
import * as ConfigurationPage from "./ConfigurationPage.ts"
import * as ConfigurationSample from "./ConfigurationSample.ts"
import * as FaultsPage from "./FaultsPage.ts"
import * as ManPage from "./ManPage.ts"
import * as MetricsPage from "./MetricsPage.ts"
import * as StatesPage from "./StatesPage.ts"
import * as WrittenPages from "./WrittenPages.ts"

WrittenPages.write({
  "docs/cli.md": CliPage.text,
  "docs/states.md": StatesPage.text,
  "docs/faults.md": FaultsPage.text,
  "docs/configuration.md": ConfigurationPage.text,
  "docs/metrics.md": MetricsPage.text,
  "packages/agent/debian/agent.toml": ConfigurationSample.text,
  "packages/agent/man/agent.1": ManPage.text(readFileSync("README.md", "utf8"))
})
