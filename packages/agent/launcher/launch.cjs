// The agent on a host without a start-up snapshot of it: agent.cjs is a function, as the snapshot needs it.
const { readFileSync, realpathSync } = require("node:fs")
const { dirname, join } = require("node:path")
const { Script, constants } = require("node:vm")

const filename = join(dirname(realpathSync(__filename)), "agent.cjs")
const script = new Script(readFileSync(filename, "utf8"), {
  filename,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
})
script.runInThisContext()(require, filename)
