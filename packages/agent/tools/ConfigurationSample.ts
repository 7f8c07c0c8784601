/**
 * What the Debian package puts at /etc/liveupdate/agent.toml: every key with its default, as a comment. So it says nothing, and what an
 * operator writes into it is a change that dpkg keeps.
 */
import { stringify } from "smol-toml"
import * as Settings from "../src/config/Settings.ts"

const tableOf = ({ path }: Settings.Setting): string => Settings.keyOf(path.slice(0, -1))

const plain = (markdown: string): string => markdown.replaceAll(/ ?\(?\[[^\]]*\]\([^)]*\)\)?/g, "").replaceAll("`", "")

const line = ({ path, what, values, variable, ...setting }: Settings.Setting): string =>
  [`# ${plain(what)} (${values}; ${variable})`, `#${stringify({ [path.at(-1) ?? ""]: setting.default }).trim()}`].join(
    "\n"
  )

export const text = `# What is set for this host. A flag comes before the environment, that before this file, that before the default.
# In effect, and from where: agent config show --origin. What is wrong with this file: agent config check
${Settings.tables
  .map((table) => ({ table, settings: Settings.all.filter((setting) => tableOf(setting) === table) }))
  .filter(({ settings }) => settings.length > 0)
  .map(({ table, settings }) => `\n#[${table}]\n${settings.map(line).join("\n")}\n`)
  .join("")}`
