/**
 * docs/configuration.md: every key of `agent.toml`, from its Schema.
 */
import { stringify } from "smol-toml"
import * as ConfigurationFile from "../src/config/ConfigurationFile.ts"
import * as Settings from "../src/config/Settings.ts"

const toml = (value: unknown): string => stringify({ value }).trim().slice("value = ".length)

const row = ({ key, variable, values, what, flag, ...setting }: Settings.Setting): string =>
  `| \`${key}\` | ${what} | ${values} | \`${toml(setting.default)}\` | \`${variable}\` | ${
    flag === undefined ? "" : `\`${flag.name}\` (${flag.of})`
  } |`

export const text = `<!-- Made by packages/agent/tools from packages/agent/src/config: npm run docs -->

# Configuration

What is set once for a host is in \`${ConfigurationFile.defaultPath}\`, a TOML file. It may be missing, and every key in it too.

\`\`\`toml
[upgrade]
cmdline = "root=/dev/sda1 ro liveupdate=on kho=on"
max-pause = 20

[upgrade.deadlines]
save-state = 15

[vm]
binary = "/opt/qemu/bin/qemu-system-x86_64"
\`\`\`

## What counts

The first of these that speaks of a key:

1. the **flag** of the command
2. the **environment**: a variable for each key, its name in capitals behind \`LIVEUPDATE_\`, with \`_\` for dots and dashes
3. the **file**
4. the **default**

\`agent config show\` prints what comes of it, as TOML; with \`--origin\`, where each value comes from:

\`\`\`
$ LIVEUPDATE_VM_CPUS=2 agent config show --origin
upgrade.max-pause = 20                     # ${ConfigurationFile.defaultPath}:3
upgrade.stop-others = false                # default
vm.cpus = 2                                # LIVEUPDATE_VM_CPUS
\`\`\`

With \`--output ndjson\` it is one object a line: \`version\` (1), \`type\` (\`setting\`), \`key\`, \`value\`, \`source\` (\`default\`, \`file\`,
\`environment\`, \`flag\`) and \`origin\`, as text.

A VM's spec comes before all of them, for what it says. A command for another host (\`--host\`) goes there with the flags that were given: that host
has a configuration of its own.

## The file

- \`--config FILE\` or \`LIVEUPDATE_CONFIG\` name another one, which has to be there (exit code 4). The flag comes first.
- \`agent config check FILE\` says whether a file can be used, before it is put in its place.
- What isn't understood is an error (exit code 2), never ignored: unknown keys and tables, with the nearest one that there is, wrong values,
  what is no TOML; all of it at once, with file and line. Variables that begin like a key's are held to the same.
- It decides what root does. So it has to be root's (or of whoever runs the agent) and writable by nobody else, and so do the directories
  that it is in, but for those in which nobody can replace another one's file (mode 1777). If not, it is refused (exit code 5).
- \`agent upgrade\`, \`plan\`, \`doctor --kernel\`, \`vm start\`, \`vm stop\`, \`serve-metrics\`, \`publish\` and \`config\` read it. All others work with a file that is
  broken: \`agent status\`, \`park\`, \`discard\`, \`doctor\`.

## Keys

| key | what it decides | values | default | variable | flag |
| --- | --- | --- | --- | --- | --- |
${Settings.all.map(row).join("\n")}

Phases are explained in [states.md](states.md).

## What isn't in it

- **What runs after the jump reads no file**: guests stand still while it loads. \`agent resume\` is told by the handover, which carries the deadlines
  that were set and the paths of the hooks.
- **The watchdog** and **the keeper** are always there: without them guests could be lost.
- **Directories** of state, sockets and logs: the second half, a watchdog and whoever comes after an agent that died have to find them without
  being told.
- **The log**: the agent logs what goes wrong, on stderr, one JSON object a line; \`--log-level\` of each command hides some of it.
- **Which VMs, which kernel**: that is said with each call.
`
