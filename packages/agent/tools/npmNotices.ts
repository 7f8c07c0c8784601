// What goes into the npm package besides the code: THIRD-PARTY and sbom.cdx.json. Run by `pnpm pack` (package.json: prepack).
import * as Path from "node:path"
import * as Notices from "./Notices.ts"

const workspace = Path.resolve(process.cwd(), process.argv[2] ?? ".")
Notices.write(workspace, "program", Path.join(workspace, "packages/agent"))
