// Holds test/kernelAnswers.ts to the kernel's source: npm run kernel-answers -- LINUX
// Every function that is named there has exactly these errnos in its body, and no function of the live update core that
// writes an errno is missing. Exit code 1 when they differ; files that the source tree doesn't have are named and passed over.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { KernelFunction } from "../test/kernelAnswer.ts"
import { functions, notReached } from "../test/kernelAnswers.ts"

const root = process.argv[2]
if (root === undefined || !existsSync(join(root, "kernel/liveupdate/luo_core.c"))) {
  process.stderr.write(
    "usage: npm run kernel-answers -- LINUX   (a directory with kernel/liveupdate/luo_core.c in it)\n"
  )
  process.exit(2)
}

const withoutComments = (source: string): string => source.replace(/\/\*[\s\S]*?\*\//g, "")

/** Function name → errnos that its body returns or assigns. Comparisons (`err == -EEXIST`) are no answers. */
const errnosByFunction = (source: string): ReadonlyMap<string, ReadonlySet<string>> => {
  const found = new Map<string, Set<string>>()
  let heading = ""
  let name: string | undefined
  for (const line of withoutComments(source).split("\n")) {
    if (line.startsWith("{"))
      name =
        /(\w+)\s*\(/.exec(heading.replace(/^SYSCALL_DEFINE\d\(/, ""))?.[1] ??
        /^SYSCALL_DEFINE\d\((\w+)/.exec(heading)?.[1]
    else if (line.startsWith("}")) {
      name = undefined
      heading = ""
    } else if (name === undefined)
      heading = /^[\w#]/.test(line) && !line.endsWith(";") ? line : `${heading}${line.trim()}`
    else
      for (const [, errno] of line.replace(/[!=]= -E[A-Z0-9]+/g, "").matchAll(/-(E[A-Z0-9]+)\b/g)) {
        if (errno !== undefined) found.set(name, (found.get(name) ?? new Set()).add(errno))
      }
  }
  return found
}

const cache = new Map<string, ReadonlyMap<string, ReadonlySet<string>> | undefined>()
const read = (file: string) => {
  if (!cache.has(file)) {
    const path = join(root, file)
    cache.set(file, existsSync(path) ? errnosByFunction(readFileSync(path, "utf8")) : undefined)
  }
  return cache.get(file)
}

const problems: Array<string> = []
const absent = new Set<string>()
let compared = 0

const entries: ReadonlyArray<[string, KernelFunction]> = Object.entries(functions)
for (const [name, { file, errnos }] of entries) {
  if (!/\.[ch]$/.test(file)) continue
  const source = read(file)
  if (source === undefined) {
    absent.add(file)
    continue
  }
  compared += 1
  const written = [...(source.get(name) ?? [])].sort().join(" ")
  const claimed = [...errnos].sort().join(" ")
  if (written !== claimed) problems.push(`${file}: ${name} writes ${written || "no errno"}, the table says ${claimed}`)
}

const directory = "kernel/liveupdate"
const core = readdirSync(join(root, directory)).filter((name) => /^(luo_\w+|kho_block)\.[ch]$/.test(name))
for (const file of [...core.map((name) => `${directory}/${name}`), "mm/memfd_luo.c"])
  for (const [name, errnos] of read(file) ?? [])
    if (!(name in functions) && !notReached.includes(name))
      problems.push(`${file}: ${name} writes ${[...errnos].join(" ")}, the table doesn't know the function`)

for (const file of absent) process.stdout.write(`not in this tree: ${file}\n`)
for (const problem of problems) process.stdout.write(`${problem}\n`)
process.stdout.write(`${compared} functions compared, ${problems.length} differences\n`)
process.exitCode = problems.length === 0 ? 0 : 1
