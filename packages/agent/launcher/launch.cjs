#!/usr/bin/env -S node --no-short-builtin-calls
// The agent on a host: agent.cjs, with the code that V8 made of it when it was bundled (scripts/bundle.mjs). Parsing and
// compiling it at every start would take longer than most commands do. V8 takes a code cache only with the flags that it was
// made with; the one above would else depend on how much memory the machine has.
const { readFileSync, realpathSync, writeFileSync } = require("node:fs")
const { dirname, join } = require("node:path")
const { Script, constants } = require("node:vm")

const filename = join(dirname(realpathSync(__filename)), "agent.cjs")
const read = (path) => {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
const script = new Script(readFileSync(filename, "utf8"), {
  filename,
  cachedData: read(filename.replace(/\.cjs$/, ".cache")),
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
})
script.runInThisContext()(require, filename)

// How scripts/bundle.mjs makes the cache: of what has run by now.
if (process.env.LIVEUPDATE_CODE_CACHE !== undefined)
  process.on("exit", () => writeFileSync(process.env.LIVEUPDATE_CODE_CACHE, script.createCachedData()))
