// The agent on a host without a start-up snapshot of it: agent.cjs, with the code that V8 made of it when it was installed (`snapshot`).
// Parsing and compiling it at every start would take longer than most commands do.
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
  cachedData: read("/var/cache/liveupdate/agent.cache"),
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
})
script.runInThisContext()(require, filename)

// How the cache is made: of what has run by now.
if (process.env.LIVEUPDATE_CODE_CACHE !== undefined)
  process.on("exit", () => writeFileSync(process.env.LIVEUPDATE_CODE_CACHE, script.createCachedData()))
